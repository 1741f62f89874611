"""What ought not to happen."""

from loguru import logger


def defect(error: BaseException) -> None:
    """Of ours, or an error nobody translated. What was under way ends all the same, or its engine
    would wait for that end for ever."""
    logger.opt(exception=error).error("task_failed")
