"""SQL of Athena (Trino), Redshift Spectrum and PartiQL, said in DuckDB's SQL with the same meaning, or refused.

What belongs here: reading those dialects, and what each of their constructs is in DuckDB. What does not: running the
result (`cli`), the names of Athena's and Redshift's own tables (`views`).

The rules:

- **Refuse, don't guess.** Everything not known here to mean the same is refused by name, with the way out. What reads
  the statement is sqlglot; what writes DuckDB's is here, construct by construct: nothing passes unseen.
- **By types.** `/` divides integers or decimals, `=` of arrays knows NULL, by the types of what stands beside it. So every
  expression carries its Trino type (`typed.Typed`), from literals and from the columns' types in `schema`.
- A rule stands beside its function (`functions/`), from the documented meaning of the function; its examples are tests.
- The SQL that comes out is plain DuckDB: no macro, no extension, no setting. It does not depend on the session's zone.
"""

from dagster_project.dialects.translation import DIALECTS, Translation, translate
from dagster_project.errors import Unsupported

__all__ = ["DIALECTS", "Translation", "Unsupported", "translate"]
