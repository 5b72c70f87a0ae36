"""What can go wrong, as one tree. Every message gives the state, the fact and the way out.

NotelakeError
├── UsageError          the command or a setting was used wrongly             exit code 2
│   ├── SourceInvalid   a source's declaration does not hold
│   └── Unsupported     SQL of another dialect that cannot be given here with the same meaning
├── SourceUnavailable   a source cannot be read now; nothing of it was changed
│   └── TooManyGone     more of a source vanished at once than is believable
├── AuditFailed         a table rule refused a batch; the last good state is served
├── AuditBroken         a suite could not be read or run; nothing was judged
├── ViewInvalid         a file of sql/views does not hold
├── CommitConflict      another run committed first; look again and decide
│   └── Superseded      another run has already done this batch's work
├── CommitUnknown       the catalog went away in the middle of a commit; the next run finds out whether it holds
├── LakeUnavailable     the lake's disk, store or catalog can't do its work now; what was committed stands
├── LakeMoved           the lake's folder is not where its tables say
├── LakeUnsupported     a lake, catalog or table this version cannot write
├── SchemaMismatch      a staged file is not what its table's contract says
└── WorkerLost          worker processes died again and again, and no input is to blame
"""


class NotelakeError(Exception):
    """The root: catch it to catch everything notelake raises on purpose."""


class UsageError(NotelakeError):
    """A command, an option or a setting was used wrongly."""


class SourceInvalid(UsageError):
    """The declaration of a source does not hold."""


class Unsupported(UsageError):
    """A statement of another dialect holds what cannot be given in DuckDB with the same meaning; nothing was run."""


class SourceUnavailable(NotelakeError):
    """A source could not be read as a whole; nothing was concluded from what is missing."""


class TooManyGone(SourceUnavailable):
    """So much of a source vanished at once that a wrong path is likelier than a deletion."""


class AuditFailed(NotelakeError):
    """A table rule refused the batch; nothing of it was committed."""


class AuditBroken(NotelakeError):
    """A suite could not be read or run, so nothing was judged and nothing was committed."""


class ViewInvalid(NotelakeError):
    """A view's file does not hold; the published file stays as it was."""


class CommitConflict(NotelakeError):
    """Another run committed to one of the tables first; nothing of this commit is visible."""


class Superseded(CommitConflict):
    """Another run has already committed the work of this batch."""


class CommitUnknown(NotelakeError):
    """The catalog went away in the middle of a commit, so nobody knows whether it holds; no file was deleted."""


class LakeUnavailable(NotelakeError):
    """The disk, store or catalog of a lake is full, closed or away now; what was committed stands."""


class LakeMoved(NotelakeError):
    """The lake lies in another folder than its tables' metadata say."""


class LakeUnsupported(NotelakeError):
    """A lake, a catalog or a table that this version of notelake cannot write."""


class SchemaMismatch(NotelakeError):
    """A staged file does not match the contract of its table; it was not committed."""


class WorkerLost(NotelakeError):
    """Worker processes died again and again while they were at no input; nothing was committed."""
