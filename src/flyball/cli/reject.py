"""`flyball reject`: a person's no to a version."""

from __future__ import annotations

from flyball.cli import common
from flyball.cli.approve import VersionArgument, give
from flyball.cli.common import HERE, Acting, DryRun, Env, Json, Key, Project, Quiet, Reason
from flyball.cli.output import Output

app = common.app()


@app.command()
def reject(
    version: VersionArgument,
    *,
    reason: Reason = "",
    dry_run: DryRun = False,
    key: Key = "",
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Say no to a version that is not released yet. It is rejected, whatever its other gates say."""
    return give(version, "reject", Acting(reason, dry_run, key), project=project, env=env, out=Output(as_json=as_json, quiet=quiet))
