"""Exceptions: one class for each kind of failure."""

from typing import Dict, List, Optional


class Error(Exception):
    """What gpve raises. Its text is the message with its causes."""

    #: Kind of failure, such as `not_found`; the same words as in every other door.
    kind = "error"

    def __init__(
        self,
        message: str,
        *,
        op: str = "",
        subject: str = "",
        retry: bool = False,
        fields: Optional[Dict[str, str]] = None,
        causes: Optional[List[str]] = None,
    ) -> None:
        self.message = message
        #: The operation that failed, such as `volume.create`.
        self.op = op
        #: What it failed on, such as `vm 100`; empty if nothing in particular.
        self.subject = subject
        #: Whether the same call can succeed later without anybody changing anything.
        self.retry = retry
        #: Refused fields of the request, with the reasons.
        self.fields = fields or {}
        #: The chain of causes, outermost first.
        self.causes = causes or []
        super().__init__(": ".join([message] + [cause for cause in self.causes if cause not in message]))

    def __reduce__(self) -> "tuple[object, ...]":
        return (self.__class__, (self.message,), self.__dict__)


class InvalidInput(Error):
    """A field of the request is malformed or out of range; `fields` names each."""

    kind = "invalid_input"


class Unauthenticated(Error):
    """The caller did not prove who it is."""

    kind = "unauthenticated"


class PermissionDenied(Error):
    """The caller is known and may not do this."""

    kind = "permission_denied"


class NotFound(Error):
    """The subject does not exist."""

    kind = "not_found"


class AlreadyExists(Error):
    """The subject exists already and the request wanted to make it."""

    kind = "already_exists"


class Conflict(Error):
    """Somebody changed the subject in between."""

    kind = "conflict"


class PreconditionFailed(Error):
    """The subject is in a state that does not allow the request."""

    kind = "failed_precondition"


class ResourceExhausted(Error):
    """A limit, quota or the space on a device is used up."""

    kind = "resource_exhausted"


class Unsupported(Error):
    """This backend, host or version cannot do it."""

    kind = "unsupported"


class Unavailable(Error):
    """A part needed for it does not answer now."""

    kind = "unavailable"


class Timeout(Error):
    """The deadline passed first."""

    kind = "timeout"


class Cancelled(Error):
    """The caller or an administrator cancelled it."""

    kind = "cancelled"


class Stuck(Error):
    """It failed and could not be undone: somebody has to look. The message names the next command to run."""

    kind = "stuck"


class Internal(Error):
    """A defect of gpve or of something it trusts."""

    kind = "internal"
