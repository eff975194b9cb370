"""From a config to a loop: which data, what is repaired, which loop fits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rondel import training_only
from rondel.config import parse_overrides, resolve
from rondel.errors import ConfigError, DataError, UsageError
from rondel_detection.build import build
from rondel_detection.config import DetectionConfig
from rondel_detection.data.batch import PADDING, Predictions, Targets
from rondel_detection.data.source import gather
from rondel_detection.explanation import of_labels
from rondel_detection.loops.alternating import four_steps
from rondel_detection.loops.staged import default_stages, parameters_to
from rondel_detection.loops.teacher import pseudo_targets
from rondel_detection.measurement import original, truth_of

TINY = Path(__file__).parent / "tiny"
SMALL = ("model.width=0.25", "image_size=64", f"images={TINY / 'pictures'}")


def config_of(*words: str, labels: Path = TINY / "labels.json") -> DetectionConfig:
    words = (f"data={labels}", *SMALL, *words)
    return resolve(DetectionConfig, [parse_overrides(DetectionConfig, list(words))]).config


def changed(tmp_path: Path, **columns: Any) -> Path:
    """Write the tiny labels with some of their parts changed by functions."""
    content = json.loads((TINY / "labels.json").read_text())
    for name, change in columns.items():
        content[name] = change(content[name])
    file = tmp_path / "labels.json"
    file.write_text(json.dumps(content))
    return file


def test_training_and_validation_share_no_image_and_lose_none() -> None:
    parts = gather(config_of())
    train, valid = (set(part.annotations.images.file) for part in (parts.train, parts.valid))
    assert not train & valid
    assert len(train | valid) == 16
    assert len(valid) == 4
    assert parts.labels.ids == (7, 17, 27)


def test_chosen_classes_leave_their_images_and_take_their_ids_along() -> None:
    parts = gather(config_of('classes=["square"]'))
    assert (parts.labels.names, parts.labels.ids) == (("square",), (17,))
    assert len(parts.train) + len(parts.valid) == 16
    assert set(parts.train.annotations.boxes.label.tolist()) == {0}


def test_an_unknown_class_is_answered_with_the_nearest() -> None:
    with pytest.raises(DataError, match=r"there is no class 'sqare'. Did you mean 'square'\?"):
        gather(config_of('classes=["sqare"]'))


def test_labels_of_their_own_are_evaluated_on_by_the_names_of_their_classes(
    tmp_path: Path,
) -> None:
    def backwards(categories: list[Any]) -> list[Any]:
        return categories[::-1]

    own = changed(tmp_path, categories=backwards)
    parts = gather(config_of(f"validation={own}"))
    assert len(parts.train) == len(parts.valid) == 16
    train, valid = parts.train.annotations.boxes, parts.valid.annotations.boxes
    assert np.array_equal(train.label, valid.label)


def test_image_files_that_cannot_be_opened_are_named_before_the_training(tmp_path: Path) -> None:
    def lost(images: list[Any]) -> list[Any]:
        names = ["gone.png", "../../secret.png"]
        return [{**each, "file_name": name} for each, name in zip(images, names, strict=False)] + (
            images[2:]
        )

    labels = changed(tmp_path, images=lost)
    with pytest.raises(DataError) as caught:
        gather(config_of(labels=labels))
    told = str(caught.value)
    assert "2 image files cannot be opened:" in told
    assert "(image 'gone.png'): there is no such image file" in told
    assert "'../../secret.png' leads out of the folder" in told
    assert "run.bad_samples=skip leaves such images out" in told
    assert len(gather(config_of("run.bad_samples=skip", labels=labels)).train)


def test_a_class_that_the_training_does_not_know_is_named(tmp_path: Path) -> None:
    def renamed(categories: list[Any]) -> list[Any]:
        return [{**each, "name": each["name"].upper()} for each in categories]

    own = changed(tmp_path, categories=renamed)
    with pytest.raises(DataError, match=r"the classes 'CIRCLE', 'SQUARE', 'TRIANGLE' are unknown"):
        gather(config_of(f"validation={own}"))


def test_another_name_of_a_class_is_another_data_set(tmp_path: Path) -> None:
    def renamed(categories: list[Any]) -> list[Any]:
        return [{**each, "name": each["name"] + "s"} for each in categories]

    file = changed(tmp_path, categories=renamed)
    before, after = gather(config_of()).manifest, gather(config_of(labels=file)).manifest
    assert before.difference(after) == ["classes[0:3]: changed"]


def test_a_bad_box_is_repaired_and_told_and_its_image_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def spoilt(annotations: list[Any]) -> list[Any]:
        annotations[0]["bbox"][0] = 1000.0
        annotations[1]["bbox"][2] += 500.0
        return annotations

    loop = build(config_of(labels=changed(tmp_path, annotations=spoilt)))
    assert "2 labels were changed or left out" in capsys.readouterr().err
    material = loop.material
    assert len(material.train) + len(material.valid) == 16
    (section,) = of_labels(material.defects, material.losses)
    assert section.table is not None
    assert [list(row)[:3] for row in section.table.rows] == [
        ["outside the image", 1, "dropped"],
        ["beyond the border", 1, "repaired"],
    ]


def test_sound_labels_need_no_words(capsys: pytest.CaptureFixture[str]) -> None:
    material = build(config_of()).material
    assert of_labels(material.defects, material.losses) == ()
    assert capsys.readouterr().err == ""


def test_labels_without_any_box_are_refused(tmp_path: Path) -> None:
    file = changed(tmp_path, annotations=lambda _: [])
    with pytest.raises(
        DataError, match=r"images to train on have no box at all. Look at 'classes'"
    ):
        gather(config_of(labels=file))


def test_nothing_to_evaluate_on_is_refused(tmp_path: Path) -> None:
    empty = changed(tmp_path, images=lambda _: [], annotations=lambda _: [])
    with pytest.raises(UsageError, match="no labelled image is left to evaluate on"):
        gather(config_of(f"validation={empty}"))


def test_the_four_steps_need_a_detector_of_two_stages() -> None:
    with pytest.raises(ConfigError, match="the loop 'alternating' needs a two-stage detector"):
        build(config_of("loop=alternating"))


def test_a_teacher_needs_pictures_without_labels() -> None:
    with pytest.raises(ConfigError, match="needs pictures without labels, and the data has none"):
        build(config_of("loop=teacher"))


def test_a_folder_of_pictures_is_what_nobody_has_looked_at(tmp_path: Path) -> None:
    loop = build(config_of("loop=teacher", f"teacher.unlabelled={TINY / 'pictures'}"))
    assert loop.material.unlooked is not None
    assert len(loop.material.unlooked) == 16
    with pytest.raises(DataError, match="holds no pictures"):
        build(config_of("loop=teacher", f"teacher.unlabelled={tmp_path}"))


def test_hidden_labels_are_those_that_are_not_learnt_from() -> None:
    material = build(config_of("loop=teacher", "teacher.labelled=0.4")).material
    assert material.unlooked is not None
    assert (len(material.train), len(material.unlooked)) == (5, 7)
    train, hidden = (set(p.annotations.images.file) for p in (material.train, material.unlooked))
    assert not train & hidden


def test_the_guess_that_saw_no_picture_is_measured() -> None:
    loop = build(config_of())
    assert loop.baseline is not None
    assert loop.baseline.name == "average box of each class"
    assert 0 <= loop.baseline.values["map"] < 0.2


def test_weights_of_a_bundle_go_into_the_detector(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = build(config_of("run.seed=1"))
    torch.nn.init.constant_(next(first.detector.parameters()), 0.25)
    folder = first.bundle().save(tmp_path / "bundle")
    again = build(config_of(f"model.weights={folder}"))
    for one, other in zip(
        first.detector.state_dict().values(), again.detector.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)
    assert str(folder) in capsys.readouterr().err


def test_what_is_measured_is_in_the_pixels_of_the_files() -> None:
    material = build(config_of("image_size=32", "held_out=0.5")).material
    valid = material.valid
    rows = torch.tensor([2, 0])
    truth = truth_of(valid, rows.numpy())
    table = valid.annotations.boxes
    for place, row in enumerate(rows.tolist()):
        mine = np.flatnonzero(table.image == row)
        corners = table.xyxy[mine]
        found = truth.xywh[truth.image == place]
        np.testing.assert_allclose(found[:, :2], corners[:, :2])
        np.testing.assert_allclose(found[:, :2] + found[:, 2:], corners[:, 2:])
    whole = valid.sizes[2]
    box = torch.tensor([[0.0, 0.0, float(whole[1]), float(whole[0])]])
    one = torch.tensor([0])
    seen = Predictions(one, box, torch.tensor([0.5]), one)
    height, width = valid.full[2].tolist()
    assert original(valid, rows, seen).xywh.tolist() == [[0, 0, width, height]]


def test_doubtful_detections_are_left_alone_by_the_student() -> None:
    targets = Targets(
        boxes=torch.zeros(3, 1, 4),
        labels=torch.full((3, 1), PADDING),
        crowd=torch.zeros(3, 1, dtype=torch.bool),
        sizes=torch.full((3, 2), 64.0),
        rows=torch.arange(3),
    )
    boxes = torch.arange(12.0).reshape(3, 4)
    seen = Predictions(
        image=torch.tensor([0, 0, 2]),
        boxes=boxes,
        scores=torch.tensor([0.9, 0.3, 0.6]),
        labels=torch.tensor([1, 0, 2]),
    )
    made = pseudo_targets(seen, targets, threshold=0.5)
    assert made.labels.tolist() == [[1, 0], [PADDING, PADDING], [2, PADDING]]
    assert made.crowd.tolist() == [[False, True], [False, False], [False, False]]
    assert made.present.tolist() == [[True, False], [False, False], [True, False]]
    assert made.boxes[0].tolist() == boxes[:2].tolist()
    assert made.boxes[2, 0].tolist() == boxes[2].tolist()
    nothing = pseudo_targets(Predictions.empty(), targets, threshold=0.5)
    assert nothing.labels.tolist() == [[PADDING]] * 3


def test_four_steps_train_what_the_paper_says() -> None:
    loop = build(config_of("loop=alternating", "model.name=fasterrcnn_slim", "epochs=10"))
    steps = {step.name: step for step in four_steps(loop.config)}
    assert [step.epochs for step in steps.values()] == [2, 5, 1, 2]
    own, shared = loop.proposer, loop.detector  # type: ignore[attr-defined]
    networks = {name: loop.network_of(step) for name, step in steps.items()}  # type: ignore[attr-defined]
    assert networks["rpn"] is own
    assert all(networks[name] is shared for name in ("roi", "rpn_shared", "roi_shared"))
    parts = {name: steps[name].parts_of(networks[name]) for name in steps}
    assert parts["rpn"] == [own.parts["backbone"], own.parts["rpn"]]
    assert parts["roi"] == [shared.parts["backbone"], shared.parts["roi"]]
    assert parts["rpn_shared"] == [shared.parts["rpn"]]
    assert parts["roi_shared"] == [shared.parts["roi"]]


def test_stages_end_with_another_optimizer_and_go_deeper_from_the_head() -> None:
    loop = build(config_of("loop=staged", "epochs=8"))
    stages = default_stages(loop.config)
    assert [(stage.epochs, stage.update.optimizer.name) for stage in stages] == [
        (2, "adamw"),
        (4, "adamw"),
        (2, "sgd"),
    ]
    head, whole = parameters_to(loop.detector, 1), parameters_to(loop.detector, None)
    assert 0 < len(head) < len(whole)
    with training_only(loop.detector, head):
        needed = sum(parameter.requires_grad for parameter in loop.detector.parameters())
        assert needed == len(head)
    assert all(parameter.requires_grad for parameter in loop.detector.parameters())
    with pytest.raises(ConfigError, match="depth 99 is more than the"):
        parameters_to(loop.detector, 99)
