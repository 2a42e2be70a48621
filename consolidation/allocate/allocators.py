"""The allocators that there are. One is a file and a row here; its name is what `sleep.allocator` takes."""

from nrem.consolidation.allocate.allocator import Allocator
from nrem.consolidation.allocate.elimination import Elimination
from nrem.consolidation.allocate.greedy import Greedy
from nrem.consolidation.allocate.priced import Priced
from nrem.consolidation.allocate.uniform import Uniform

ALLOCATORS: dict[str, type[Allocator]] = {
    "uniform": Uniform,
    "elimination": Elimination,
    "greedy": Greedy,
    "priced": Priced,
}
