"""Sections that show images, what becomes of them, and what should. Shapes: (N, C, H, W)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rondel import Section
from rondel_gan.picture import rows_png
from rondel_gan.sampling import translated

if TYPE_CHECKING:
    from rondel_gan.loops.cycle import Cycle
    from rondel_gan.loops.translation import Translation

SHOWN = 6


def translation_section(game: Translation) -> Section:
    """Show held-out sources, their translations, and the targets that belong to them."""
    sources, targets = (images[:SHOWN] for images in game.held_out)
    text = "From above: held-out sources, their translations, the targets that belong to them."
    rows = [sources, translated(game.generator, sources), targets]
    return Section("Translations", text=text, picture=rows_png(rows))


def cycle_sections(game: Cycle) -> tuple[Section, Section]:
    """Show both ways there and back."""
    sources, targets = (images[:SHOWN] for images in game.held_out)
    there, back = game.generator, game.inverse
    text = "From above: held-out images, their translations, and these translated back."
    made = translated(there, sources)
    first = rows_png([sources, made, translated(back, made)])
    made = translated(back, targets)
    second = rows_png([targets, made, translated(there, made)])
    return (
        Section("There and back", text=text, picture=first),
        Section("The other way round", text=text, picture=second),
    )
