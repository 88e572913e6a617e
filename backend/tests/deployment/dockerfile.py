"""Reads a Dockerfile as far as the tests need it."""

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
DOCKERFILE = ROOT / "backend" / "Dockerfile"


@dataclass
class Stage:
    """One stage: its base image and its instructions in order."""

    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def arguments(self, keyword: str) -> list[str]:
        """What follows each instruction of this kind."""
        return [arguments for word, arguments in self.instructions if word == keyword]

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the stage sets."""
        pairs = (word.partition("=") for arguments in self.arguments("ENV") for word in shlex.split(arguments))
        return {name: value for name, _, value in pairs}

    @property
    def copies(self) -> list[tuple[str, str]]:
        """Source and destination of what comes from the repository."""
        copies = [arguments.split() for arguments in self.arguments("COPY") if not arguments.startswith("--from")]
        return [(source, destination) for source, destination in copies]

    @property
    def workdir(self) -> str:
        """The folder that the command runs in."""
        return self.arguments("WORKDIR")[-1]

    @property
    def command(self) -> list[str]:
        """The program that a container runs."""
        command: list[str] = json.loads(self.arguments("CMD")[-1])
        return command

    @property
    def health_check(self) -> list[str]:
        """The program that says whether a container is well."""
        _, _, program = self.arguments("HEALTHCHECK")[-1].partition("CMD ")
        check: list[str] = json.loads(program)
        return check


def read_stages(path: Path = DOCKERFILE) -> list[Stage]:
    """Split a Dockerfile into its stages."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    stages: list[Stage] = []
    for line in re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines():
        keyword, _, arguments = line.strip().partition(" ")
        if keyword == "FROM":
            stages.append(Stage(arguments.split()[0]))
        elif keyword:
            stages[-1].instructions.append((keyword, arguments.strip()))
    return stages
