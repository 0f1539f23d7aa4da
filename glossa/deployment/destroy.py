"""The plan that removes an environment: the reverse of its deployment. What holds data is retained by its template.

Must not know how a command runs.
"""

from __future__ import annotations

from glossa.deployment.environment import Environment
from glossa.deployment.kubernetes import kubeconfig_command, removal_commands
from glossa.deployment.names import PYTHON
from glossa.deployment.steps import Command, Step


def destroy_steps(environment: Environment, *, has_cluster: bool = True) -> list[Step]:
    """Return the steps: every stack, the last one first, and before the cluster what runs in it.

    Without `has_cluster` the stack of the cluster is gone already, so nothing can run in it.
    """
    steps = []
    for stack in reversed(environment.stacks):
        if stack == "cluster" and has_cluster:
            commands = (kubeconfig_command(environment), *removal_commands(environment))
            steps.append(Step("manifests", "what runs in the cluster, and its load balancer", commands, 10))
        steps.append(Step(stack, f"stack {stack}", (_delete(environment, stack),), 20))
    return steps


def _delete(environment: Environment, stack: str) -> Command:
    words = (PYTHON, "-m", "glossa.deployment.programs.delete_stack", "--stack", environment.stack_name(stack))
    return Command((*words, "--region", environment.deploy.region))
