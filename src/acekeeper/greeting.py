"""What a first try is told on its terminal."""

from acekeeper import __version__
from acekeeper.settings import Settings


def greeting(settings: Settings) -> str:
    host = f"[{settings.app_host}]" if ":" in settings.app_host else settings.app_host
    api = f"http://{host}:{settings.app_port}"
    key = ' -H "Authorization: Bearer $API_KEY"' if settings.api_key else ""
    emulated = settings.sources["ENGINE_COMMAND"] == "default"
    what = "emulated; set ENGINE_COMMAND to run real ones" if emulated else "ENGINE_COMMAND"
    ports = settings.port_range_host
    return f"""\
acekeeper {__version__}
  API      {api}
  Panel    {api}/panel
  Engines  {settings.engine_host}, ports {ports[0]} and up ({what})
  Files    {settings.state_dir}
  Try      curl{key} {api}/engines
           curl{key} -X POST {api}/provision/acestream
  Ctrl-C ends acekeeper. The engines go on, and the next start takes them over;
  `acekeeper stop` (or `make stop`) ends them too.
"""
