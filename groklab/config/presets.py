"""Named, cited recipes: each a whole run from which flags depart."""

from __future__ import annotations

from groklab.config.run import Run
from groklab.registry import look_up, preset


@preset(source="Power et al. 2022, appendix A.1.2")
def power_default() -> Run:
    """The paper's default recipe: division mod 97 at 50 %, AdamW with weight decay 1, 10⁵ updates (Power et al. 2022).

    ``groklab train --preset power_default``; three to four minutes on one core. With it the delay looks modest: see
    ``power_figure1_left`` for the famous picture.
    """
    return Run()


@preset(source="Power et al. 2022, Figure 1 left")
def power_figure1_left() -> Run:
    """The famous curve: the same task with Adam and no weight decay, 10⁶ updates (Power et al. 2022, Figure 1 left).

    ``groklab train --preset power_figure1_left``; ten hours or more on one core, for it generalizes between 10⁵ and 10⁶ updates.
    """
    return Run.of(optimizer="adam", weight_decay=0.0, steps=1_000_000)


def preset_named(name: str) -> Run:
    """The run of a preset; ValueError with the nearest names for an unknown one."""
    return look_up("preset", name).function()
