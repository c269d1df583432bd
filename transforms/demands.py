"""What a mixture must keep to before it is rendered; plans from elsewhere may say anything."""

from dataclasses import dataclass

from transforms.placing import placing_problems
from transforms.plan import Mixture, mixture_problems
from transforms.recipes import Recipe


@dataclass(frozen=True)
class PlanDemands:
    """What the mixtures of a stored plan must keep to.

    Attributes:
        recipe: the recipe that they must be of.
        types: mixture types asked for, which decide about the sources that are needed.
        roots: names of the roots that they may refer to.
        given: those of which it is known where they are.
    """

    recipe: Recipe
    types: tuple[str, ...]
    roots: tuple[str, ...]
    given: frozenset[str]

    def problems(self, mixture: Mixture) -> list[str]:
        """Lists everything that forbids rendering a mixture, wherever its sources are."""
        problems = mixture_problems(mixture, self.roots)
        problems += self.recipe.rule_problems(mixture)
        if self.recipe.rules.scaling == "placed":
            problems += placing_problems(mixture)
        return problems

    def missing_roots(self, mixture: Mixture) -> set[str]:
        """Returns the names of roots that a mixture needs and that are not given."""
        return self.needed_roots(mixture) - self.given

    def needed_roots(self, mixture: Mixture) -> set[str]:
        """Returns the names of roots that a mixture needs."""
        needed = self.recipe.needed_roles([source.role for source in mixture.sources], self.types)
        sources = [source for source in mixture.sources if source.role in needed]
        rooms = {"rir" for source in sources if source.rir}
        return {source.root for source in sources} | rooms
