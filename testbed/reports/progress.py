"""How far a long run has come, for someone who watches it.

The law of this module: it writes to a terminal or not at all. A pipe, a file and a CI log see nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

# begin(title) starts the next of the items; the function that it returns is told (done, of) within that item.
Begin = Callable[[str], Callable[[int, int], None]]


@contextmanager
def progress(console: Console, items: int) -> Iterator[Begin]:
    """Show a line for all items and one for the item under way, while the context is open and on a terminal only."""
    # rich takes a pipe for a terminal where FORCE_COLOR is set; the file itself knows better.
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.file.isatty()) as bars:
        overall = bars.add_task("items", total=items, completed=-1)
        current = bars.add_task("", total=None)

        def begin(title: str) -> Callable[[int, int], None]:
            bars.advance(overall)
            bars.reset(current, description=title, total=None)
            return lambda done, of: bars.update(current, completed=done, total=of)

        yield begin
