"""Mutants of the protocol: each lacks one rule. The simulation must catch every mutant."""

from tests.lake.simulation.mutants_of_ages import OF_AGES
from tests.lake.simulation.mutants_of_answers import (
    OF_ANSWERS,
    OF_DENIALS,
    OF_LISTS,
    OF_RIGHTS,
    OF_SHORTAGE,
)
from tests.lake.simulation.mutants_of_clocks import OF_CLOCKS
from tests.lake.simulation.mutants_of_erasures import OF_CONDITIONS, OF_FULL_STORES, OF_SHADOWS
from tests.lake.simulation.mutants_of_images import OF_IMAGES, Mutant
from tests.lake.simulation.mutants_of_listings import (
    OF_COPIES,
    OF_DAMAGED,
    OF_LISTINGS,
    OF_LOSSES,
)
from tests.lake.simulation.mutants_of_positions import OF_POSITIONS, OF_REQUESTS, OF_STREAMS
from tests.lake.simulation.mutants_of_spoils import (
    OF_CUT_COPIES,
    OF_DAMAGE,
    OF_HANGS,
    OF_LIVENESS,
    OF_ROT,
    OF_SPOILS,
    OF_STUCK,
)
from tests.lake.simulation.mutants_of_sweeps import OF_RULES, OF_SWEEPS
from tests.lake.simulation.mutants_of_tables import OF_TABLES
from tests.lake.simulation.mutants_of_tenants import OF_TENANTS

MUTANTS: dict[str, Mutant] = {
    mutant.__name__: mutant
    for mutant in (
        *OF_IMAGES,
        *OF_TABLES,
        *OF_POSITIONS,
        *OF_REQUESTS,
        *OF_STREAMS,
        *OF_CLOCKS,
        *OF_SPOILS,
        *OF_STUCK,
        *OF_HANGS,
        *OF_CUT_COPIES,
        *OF_DAMAGE,
        *OF_ROT,
        *OF_LIVENESS,
        *OF_AGES,
        *OF_LISTINGS,
        *OF_COPIES,
        *OF_DAMAGED,
        *OF_LOSSES,
        *OF_SWEEPS,
        *OF_RULES,
        *OF_ANSWERS,
        *OF_SHORTAGE,
        *OF_DENIALS,
        *OF_LISTS,
        *OF_RIGHTS,
        *OF_CONDITIONS,
        *OF_FULL_STORES,
        *OF_SHADOWS,
        *OF_TENANTS,
    )
}
