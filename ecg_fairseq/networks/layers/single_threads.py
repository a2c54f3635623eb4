"""Runs independent pieces of work side by side, each in one thread of torch.

Which kernel torch takes, and in which order that sums, depends on the number of threads. Where the
last bit decides about an integer, a piece is therefore computed by one thread however many there
are.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def map_in_single_threads(
    function: Callable[[Piece], Result], pieces: Sequence[Piece]
) -> list[Result]:
    """Return the function's results in order.

    Args:
        function: called in threads that are new, hence without the gradient mode of the caller.
        pieces: its arguments.
    """
    num_threads = torch.get_num_threads()
    if num_threads == 1:
        return [function(piece) for piece in pieces]
    # New threads take the number from here.
    torch.set_num_threads(1)
    try:
        if len(pieces) == 1:
            return [function(pieces[0])]
        with ThreadPoolExecutor(min(num_threads, len(pieces))) as pool:
            return list(pool.map(function, pieces))
    finally:
        torch.set_num_threads(num_threads)
