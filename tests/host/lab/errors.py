"""
LabError                 something in the lab went wrong
├── CommandError         a command ended with another status than 0, or not in time
└── UnavailableError     this machine cannot run a lab (not root, not Debian, no mirror, …)
"""


class LabError(Exception):
    exit_status = 1


class CommandError(LabError):
    def __init__(self, command: str, ending: str, output: str) -> None:
        super().__init__(f"{command}: {ending}\n{output}".rstrip())
        self.output = output


class UnavailableError(LabError):
    exit_status = 77
