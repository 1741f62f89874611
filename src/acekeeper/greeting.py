"""What a first try is told on its terminal."""

from acekeeper import __version__
from acekeeper.core.names import bracketed
from acekeeper.listening import Gateway
from acekeeper.settings import Settings

_AN_ID = "0123456789abcdef0123456789abcdef01234567"  # the emulator plays any


def greeting(settings: Settings, gateway: Gateway) -> str:
    api = f"http://{bracketed(settings.app_host)}:{settings.app_port}"
    key = ' -H "Authorization: Bearer $API_KEY"' if settings.api_key else ""
    emulated = settings.sources["ENGINE_COMMAND"] == "default"
    what = "emulated; set ENGINE_COMMAND to run real ones" if emulated else "ENGINE_COMMAND"
    ports = settings.port_range_host
    player = f"http://127.0.0.1:{settings.gateway_port}"
    off = "; ".join(gateway.off) or "off (GATEWAY_PORT=0)"
    play = f"\n           ffplay '{player}/ace/getstream?id={_AN_ID}'" if gateway.sockets else ""
    vpns = f"\n  VPNs     {', '.join(settings.vpns)} (emulated)" if settings.vpns else ""
    return f"""\
acekeeper {__version__}
  API      {api}
  Panel    {api}/panel
  Gateway  {player if gateway.sockets else off}
  Engines  {settings.engine_host[0]}, ports {ports[0]} and up ({what}){vpns}
  Files    {settings.state_dir}
  Try      curl{key} {api}/engines
           curl{key} -X POST {api}/provision/acestream{play}
  Ctrl-C ends acekeeper. The engines go on, and the next start takes them over;
  `acekeeper stop` (or `make stop`) ends them too.
"""
