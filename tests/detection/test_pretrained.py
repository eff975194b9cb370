"""The detector that comes along: it predicts right after installation."""

from __future__ import annotations

import pytest

import rondel
from rondel.domain import Domain
from rondel.errors import UsageError
from rondel_detection.bundle import DetectionBundle
from rondel_detection.demo import embedded
from rondel_detection.plugin import rondel_domain


def test_digits_that_it_has_never_seen_are_found() -> None:
    bundle = rondel.load("detection:digits")
    assert isinstance(bundle, DetectionBundle)
    made = embedded("digits")
    held_out = made.annotations.images.split == "val"
    rows = held_out.nonzero()[0][:40].tolist()
    found = bundle.predict([made.pictures[row] for row in rows], threshold=0.5)
    boxes = made.annotations.boxes
    right = total = 0
    for row, seen in zip(rows, found, strict=True):
        mine = boxes.image == row
        names = sorted(made.annotations.labels.names[label] for label in boxes.label[mine])
        right += sum(name in names for name in seen.names)
        total += len(seen.names)
    assert total > 60
    assert right / total > 0.85


def test_it_says_how_good_it_was() -> None:
    assert rondel.load("detection:digits").metrics["map50"] > 0.85


def test_another_name_is_answered_with_those_that_there_are() -> None:
    domain: Domain = rondel_domain()
    message = r"'digts' is no bundle: .* It brings along digits."
    with pytest.raises(UsageError, match=message):
        domain.bundle_named("digts")
    with pytest.raises(UsageError, match="'shapes' is no bundle"):
        rondel.load("detection:shapes")
