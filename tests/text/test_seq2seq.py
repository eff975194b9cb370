"""A text for each text: loss, writing, scores, baselines, data, bundle and export."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import sacrebleu
import torch
from rouge_score import rouge_scorer
from torch import Tensor
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from rondel import Run, keyed
from rondel.batch import split
from rondel.config import parse_overrides, resolve
from rondel.errors import ConfigError, DataError, UsageError
from rondel.metric import merged
from rondel_text.baselines import nearest
from rondel_text.build import build
from rondel_text.bundle import TextBundle
from rondel_text.config import TextConfig
from rondel_text.data.batch import IGNORED, Texts
from rondel_text.demo import library, names
from rondel_text.inspection import inspect
from rondel_text.loops.seq2seq import Seq2Seq
from rondel_text.models.seq2seq import Seq2SeqModel
from rondel_text.tasks.seq2seq import Seq2SeqScores, TextToText, Writing
from rondel_text.tokenizers.subwords import SubwordTokenizer

SMALL = (
    *("task=seq2seq", "model.width=16", "model.layers=1", "model.heads=2", "epochs=1"),
    *("model.vocabulary=400", "max_length=24", "batch_size=16", "model.dropout=0"),
)
BART, T5 = (*SMALL, "model.name=bart"), (*SMALL, "model.name=t5")
WORDS = ("Apple", "hammer", "Rain", "cloud", "plum")
Made = Callable[..., Seq2Seq]


def rows_of(count: int = 40) -> list[dict[str, str]]:
    texts = [[WORDS[(i + j) % 5] for j in range(1 + i % 4)] + [str(i)] for i in range(count)]
    return [
        {"text": " ".join(text), "label": " ".join(text[::-1]), "kind": "ab"[len(text) % 2]}
        for text in texts
    ]


def config_of(path: Path, *words: str, rows: list[Any] | None = None) -> TextConfig:
    path.write_text("\n".join(map(json.dumps, rows_of() if rows is None else rows)))
    return resolve(TextConfig, [parse_overrides(TextConfig, (f"data={path}", *words))]).config


def loop_of(path: Path, *words: str, rows: list[Any] | None = None) -> Seq2Seq:
    keyed.reseed(0)
    loop = build(config_of(path, *words, rows=rows))
    assert isinstance(loop, Seq2Seq)
    return loop


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Loops of models that write something else for each text, each made once."""
    folder = tmp_path_factory.mktemp("seq2seq")
    loops: dict[tuple[str, ...], Seq2Seq] = {}

    def loop(*words: str) -> Seq2Seq:
        if words not in loops:
            made = loop_of(folder / f"{len(loops)}.jsonl", *words)
            with torch.no_grad():
                for parameter in made.model.parameters():
                    parameter.add_(0.3 * torch.randn(parameter.shape))
            made.model.eval()
            loops[words] = made
        return loops[words]

    return loop


def batch_of(loop: Seq2Seq, count: int = 9) -> tuple[Any, ...]:
    return tuple(loop.material.train.batch_of(torch.arange(count)))


def task_of(loop: Seq2Seq) -> TextToText:
    assert isinstance(loop.task, TextToText)
    return loop.task


# -- loss ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [BART, T5])
def test_the_loss_is_that_of_transformers(made: Made, words: tuple[str, ...]) -> None:
    loop = made(*words)
    loop.model.double()
    try:
        texts, targets = batch_of(loop)
        there = torch.arange(texts.ids.shape[1]) < texts.lengths[:, None]
        with torch.no_grad():
            expected = loop.model.model(  # type: ignore[operator]
                input_ids=texts.ids, attention_mask=there.long(), labels=targets
            ).loss
            found = loop.loss(texts, targets)
    finally:
        loop.model.float()
    torch.testing.assert_close(found.mean, expected, rtol=1e-12, atol=0)
    assert int(found.count) == sum(int((row != IGNORED).sum()) for row in targets)


def test_smoothed_targets_are_those_of_the_formula(made: Made) -> None:
    """Szegedy et al. (2016), section 7: (1 - s) of the class and s / V of every one."""
    loop, share = made(*BART), 0.2
    texts, targets = batch_of(loop)
    task = TextToText(task_of(loop).columns, tokenizer=loop.material.tokenizer, smoothing=share)
    with torch.no_grad():
        found = task.loss(loop.model, texts, targets)
        shares = loop.model(texts, targets).double().log_softmax(-1)
    total, size = 0.0, shares.shape[-1]
    for row, tokens in enumerate(targets.tolist()):
        for place, token in enumerate(tokens):
            if token != IGNORED:
                wanted = torch.full((size,), share / size, dtype=torch.float64)
                wanted[token] += 1 - share
                total -= float((wanted * shares[row, place]).sum())
    assert float(found.sum) == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("words", [BART, T5])
def test_pieces_of_a_batch_give_its_gradient(made: Made, words: tuple[str, ...]) -> None:
    """The oracle takes one text at a time, cut to its own length."""
    loop = made(*words)
    loop.model.double()
    try:
        batch = batch_of(loop)
        whole = gradient(loop, loop.loss(*batch).mean)
        pieces = [loop.loss(*piece) for piece in split(batch, 4)]
        count = sum(int(piece.count) for piece in pieces)
        together = gradient(loop, torch.stack([piece.sum for piece in pieces]).sum() / count)
        alone = torch.zeros((), dtype=torch.float64)
        for row in range(9):
            texts, targets = batch[0], batch[1]
            length, size = int(texts.lengths[row]), int((targets[row] != IGNORED).sum())
            source, target = texts.ids[row : row + 1, :length], targets[row : row + 1, :size]
            output = loop.model.model(input_ids=source, labels=target)  # type: ignore[operator]
            alone = alone + output.loss * size
        oracle = gradient(loop, alone / count)
    finally:
        loop.model.float()
    torch.testing.assert_close(together, whole, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(oracle, whole, rtol=1e-9, atol=1e-12)


def gradient(loop: Seq2Seq, loss: Tensor) -> Tensor:
    loop.model.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    found = [p.grad.flatten().clone() for p in loop.model.parameters() if p.grad is not None]
    return torch.cat(found)


# -- writing ---------------------------------------------------------------------------------------


def test_the_likeliest_token_is_written_each_time(made: Made) -> None:
    loop = made(*BART)
    model, config = writer(loop), writer(loop).model.config
    texts, _ = batch_of(loop, 4)
    for row, tokens in enumerate(model.write(texts, beams=1, longest=7)):
        source = texts.ids[row : row + 1, : int(texts.lengths[row])]
        written = [config.decoder_start_token_id]
        while len(written) <= 7 and written[-1] != config.eos_token_id:
            with torch.no_grad():
                logits = model.model(
                    input_ids=source, decoder_input_ids=torch.tensor([written])
                ).logits
            written.append(int(logits[0, -1].argmax()))
        assert tokens[: len(written)] == written
        assert set(tokens[len(written) :]) <= {config.pad_token_id}


def writer(loop: Seq2Seq) -> Seq2SeqModel:
    assert isinstance(loop.model, Seq2SeqModel)
    return loop.model


def test_what_is_written_does_not_depend_on_the_batch_or_the_generator(made: Made) -> None:
    loop = made(*BART, "seq2seq.beams=3")
    texts, _ = batch_of(loop, 6)
    together = task_of(loop).written(loop.model, texts)
    keyed.reseed(99)
    alone = [
        task_of(loop).written(
            loop.model, Texts(texts.ids[i : i + 1, :length], texts.lengths[i : i + 1])
        )[0]
        for i, length in enumerate(texts.lengths.tolist())
    ]
    assert together == alone
    assert len(set(together)) > 1


def test_beams_find_likelier_texts(made: Made) -> None:
    loop = made(*BART)
    texts, _ = batch_of(loop)
    scores = []
    for beams in (1, 5):
        made_of = writer(loop).write(texts, beams=beams, longest=5)
        tokens = torch.tensor(made_of)[:, 1:]
        targets = tokens.masked_fill(tokens == writer(loop).model.config.pad_token_id, IGNORED)
        with torch.no_grad():
            scores.append(float(loop.loss(texts, targets).mean))
    assert scores[1] < scores[0]


def test_no_more_tokens_are_written_than_asked_for(made: Made) -> None:
    loop = made(*BART)
    texts, _ = batch_of(loop)
    for longest in (2, 9):
        written = writer(loop).write(texts, beams=1, longest=longest)
        assert max(map(len, written)) == longest + 1  # with the mark that it starts from


def test_a_tokenizer_of_texts_to_write_loses_nothing() -> None:
    texts = ["Größe é 日本 (x, *args)", "a  b\n\tC", "don't STOP 12.5%"]
    tokenizer = SubwordTokenizer.trained(texts, vocabulary=300, longest=99, writes=True)
    made = tokenizer.encode_targets(texts)
    for row, text in enumerate(texts):
        tokens = made[row]
        assert tokenizer.decode(tokens.tolist()).strip() == text
        assert tokens[-1] == tokenizer.fast.sep_token_id
        assert tokens[0] != tokenizer.fast.cls_token_id
    plain = SubwordTokenizer.trained(texts, vocabulary=300, longest=99)
    assert plain.decode(plain.encode(texts[2:]).ids[0].tolist()).strip() == "don't stop 12.5%"


# -- scores ----------------------------------------------------------------------------------------


def test_scores_of_writing_are_those_of_the_reference_packages() -> None:
    written = ["the cat sat on the mat", "A dog.", "", "exactly this one here"]
    targets = ["the cat is on a mat", "A dog barks.", "nothing", "exactly this one here"]
    writing = Writing()
    writing.add(written[:2], targets[:2])
    writing.add(written[2:], targets[2:])
    found = merged(writing.by_name, [])
    rouge = rouge_scorer.RougeScorer(["rougeL"])
    f1 = [rouge.score(t, w)["rougeL"].fmeasure for w, t in zip(written, targets, strict=True)]
    assert found["bleu"] == pytest.approx(sacrebleu.corpus_bleu(written, [targets]).score)
    assert found["chrf"] == pytest.approx(sacrebleu.corpus_chrf(written, [targets]).score)
    assert found["rougeL"] == pytest.approx(sum(f1) / 4)
    assert found["exact_match"] == 0.25


def measured(loop: Seq2Seq, task: TextToText, size: int) -> dict[str, float]:
    scores, texts = task.scores(), task.judged(loop.material.valid)
    with torch.no_grad():
        for rows in torch.split(torch.arange(len(texts)), size):
            batch, *targets = texts.batch_of(rows)
            scores.update(loop.model, batch, *targets)
    return merged(scores.by_name, [])


def test_an_evaluation_measures_what_is_learnt_and_what_is_written(made: Made) -> None:
    loop = made(*BART)
    task, rows = task_of(loop), loop.material.valid.rows
    found = measured(loop, task, 3)
    texts, targets = loop.material.valid.batch_of(torch.arange(len(rows)))
    with torch.no_grad():
        mean = loop.loss(texts, targets).mean.item()
        written = task.written(loop.model, texts)
    assert found["loss"] == pytest.approx(mean, rel=1e-5)
    assert found["perplexity"] == pytest.approx(math.exp(mean), rel=1e-5)
    nats, size = mean * int((targets != IGNORED).sum()), sum(len(t) for t in rows["label"])
    assert found["bits_per_byte"] == pytest.approx(nats / math.log(2) / size, rel=1e-5)
    expected = sacrebleu.corpus_chrf(written, [list(rows["label"])]).score
    assert found["chrf"] == pytest.approx(expected)
    assert loop.watch is not None
    assert (loop.watch.metric, loop.watch.mode) == ("chrf", "max")


def test_only_the_first_texts_are_written(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = made(*BART, "seq2seq.generated=4")
    task, seen = task_of(loop), 0
    references = list(loop.material.valid.rows["label"])
    assert len(references) > 6
    written: list[str] = []
    plain = TextToText.written

    def spy(self: TextToText, model: Any, texts: Texts) -> list[str]:
        nonlocal seen
        seen += len(texts.ids)
        written.extend(plain(self, model, texts))
        return written[-len(texts.ids) :]

    monkeypatch.setattr(TextToText, "written", spy)
    found, whole = measured(loop, task, 3), measured(loop, task, 5)
    assert seen == 8
    assert found == pytest.approx(whole, rel=1e-6)
    expected = sacrebleu.corpus_chrf(written[:4], [references[:4]]).score
    assert found["chrf"] == pytest.approx(expected)


def test_what_is_written_is_compared_with_targets_as_they_stand(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = made(*BART)
    targets = list(loop.material.valid.rows["label"])
    assert any(target != target.lower() for target in targets)
    told = iter([targets[:5], targets[5:]])
    monkeypatch.setattr(TextToText, "written", lambda *_: next(told))
    scores = task_of(loop).scores()
    texts = task_of(loop).judged(loop.material.valid)
    with torch.no_grad():
        for rows in (torch.arange(5), torch.arange(5, len(targets))):
            scores.update(loop.model, *texts.batch_of(rows))
    found = merged(scores.by_name, [])
    assert found["exact_match"] == 1
    assert found["chrf"] == pytest.approx(100)


def test_scores_of_shares_merge_to_those_of_the_whole(made: Made) -> None:
    loop = made(*BART)
    batch = task_of(loop).judged(loop.material.valid).batch_of(torch.arange(7))
    whole, first, second = (Seq2SeqScores(task_of(loop)) for _ in range(3))
    with torch.no_grad():
        whole.update(loop.model, *batch)
        for scores, piece in zip((first, second), split(batch, 2), strict=True):
            scores.update(loop.model, *piece)
    states = {name: metric.state_dict() for name, metric in second.by_name.items()}
    assert merged(first.by_name, [states]) == pytest.approx(merged(whole.by_name, []), rel=1e-6)


def test_the_model_is_compared_with_the_text_itself_and_a_known_target(tmp_path: Path) -> None:
    rows = [
        {"text": f"number {i} apple", "label": f"apple {i}", "split": "train"} for i in range(9)
    ]
    rows += [{"text": "number 3 apples", "label": "apple 3", "split": "valid"}]
    rows += [{"text": "number 5 appels", "label": "number 5 appels", "split": "valid"}]
    loop = loop_of(tmp_path / "x.jsonl", *BART, rows=rows)
    values = {b.name: b.values for b in loop.material.baselines}
    known, itself = values["target of the nearest text (TF-IDF)"], values["the text itself"]
    assert known["exact_match"] == itself["exact_match"] == 0.5
    written = ["apple 3", "apple 5"], ["number 3 apples", "number 5 appels"]
    for found, texts in zip((known, itself), written, strict=True):
        expected = sacrebleu.corpus_chrf(texts, [["apple 3", "number 5 appels"]]).score
        assert found["chrf"] == pytest.approx(expected)
    best, worst = (baseline.values["chrf"] for baseline in loop.material.baselines)
    assert best >= worst
    assert loop.baseline is loop.material.baselines[0]


def test_the_nearest_text_is_found_by_parts_of_words() -> None:
    known = ["get_payload(message)", "set_payload(message)", "HTTPResponse.close()"]
    asked = ["close_response()", "set_payloads(m)", "get_pay(x)"]
    assert nearest(known, asked) == nearest(known, asked, rows=1) == [2, 1, 0]


# -- data and settings -----------------------------------------------------------------------------


LONG = " ".join(["Apple"] * 30)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"text": "a", "label": ""}, ":3, column 'label': the text is empty"),
        ({"text": "a", "label": None}, ":3, column 'label': the text is empty"),
        ({"text": " ", "label": "a"}, ":3, column 'text': the text is empty"),
        ({"text": "a", "label": 7}, ":3, column 'label': 7 is no text"),
        ({"text": "a", "label": LONG}, "tokens, 24 are written at most (seq2seq.longest)"),
    ],
)
def test_a_row_without_a_usable_target_is_named_or_left_out(
    tmp_path: Path, row: dict[str, Any], told: str
) -> None:
    rows: list[Any] = rows_of()
    rows[2] = row
    with pytest.raises(DataError) as caught:
        loop_of(tmp_path / "x.jsonl", *BART, rows=rows)
    assert told in str(caught.value)
    assert "bad_rows=drop" in str(caught.value)
    loop = loop_of(tmp_path / "x.jsonl", *BART, "bad_rows=drop", rows=rows)
    assert len(loop.material.train) + len(loop.material.valid) == 39
    assert told in "\n".join(loop.material.notes)


def test_a_longer_target_may_be_allowed(tmp_path: Path) -> None:
    rows = [*rows_of(), {"text": "a", "label": LONG}]
    loop = loop_of(tmp_path / "x.jsonl", *BART, "seq2seq.longest=200", rows=rows)
    assert len(loop.material.train) + len(loop.material.valid) == 41
    assert task_of(loop).longest == 200


def test_a_column_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"there is no column 'target'; there are 'text', 'label', 'kind'"
    ):
        loop_of(tmp_path / "x.jsonl", *BART, "label=target")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            (*SMALL, "model.name=small"),
            (
                "model.name: there is no small model for texts that are written. Choose "
                "model.name=bart, or a folder"
            ),
        ),
        (
            (*SMALL, "model.name=bert"),
            (
                "model.name: 'bert' from scratch reads texts, it does not write them. bart and t5 are "
                "for task=seq2seq, bert and gpt2 for all others."
            ),
        ),
        (
            (*BART, "task=classification", "label=kind"),
            "model.name: 'bart' from scratch writes texts, it does not judge them.",
        ),
        (
            (*BART, "seq2seq.longest=600"),
            (
                "seq2seq.longest: 600 tokens are more than the 512 that the model can write. Lower it "
                "to 512"
            ),
        ),
        (
            (*BART, "loop=finetune"),
            (
                "loop: the loop 'finetune' does not fit the task 'seq2seq'. seq2seq is for "
                "task=seq2seq, and nothing else is."
            ),
        ),
        (
            (*SMALL, "task=classification", "label=kind", "loop=seq2seq"),
            "loop: the loop 'seq2seq' does not fit the task 'classification'.",
        ),
        ((*BART, "model.heads=3"), "model.heads: 3 heads cannot share a width of 16."),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        loop_of(tmp_path / "x.jsonl", *words)
    assert told in str(caught.value)


def test_texts_with_targets_are_described(tmp_path: Path) -> None:
    text = inspect(config_of(tmp_path / "x.jsonl", *BART, rows=[*rows_of(), {"text": "a"}]))
    assert "task: seq2seq" in text
    assert "\ntarget " in text
    assert "1 rows cannot be learnt from (bad_rows=drop):" in text


# -- the embedded set ------------------------------------------------------------------------------


def test_functions_of_the_standard_library_say_what_they_do() -> None:
    rows = names.load()
    train, valid = names.split(rows)
    assert len(train) + len(valid) == len(rows) > 3000
    assert 0.15 < len(valid) / len(rows) < 0.25
    assert not {t.lower() for t in train["label"]} & {t.lower() for t in valid["label"]}
    pairs = list(zip(rows["text"], rows["label"], strict=True))
    assert len(pairs) == len(set(pairs))
    assert "Message.set_payload(payload, charset)" in rows["text"]
    for row in range(0, len(rows), 211):
        file, number = rows.where(row).rsplit(":", 1)
        source = (library.home() / file).read_text(encoding="utf-8").splitlines()
        name = rows["text"][row].split("(")[0].split(".")[-1]
        assert f"def {name}(" in source[int(number) - 1]
        assert len(rows["label"][row].split()) >= 3
        assert len(rows["label"][row]) <= 120


def test_a_signature_is_written_as_it_stands_without_the_receiver() -> None:
    tree = ast.parse(
        "class A:\n"
        "    def f(self, x, /, y: int = 3, *more, deep=False, **rest):\n"
        '        """Do this. Then that."""\n'
        "        def inner():\n"
        '            """Help."""\n'
        "    def g(this, cls):\n"
        '        """One\n\n        two."""\n'
    )
    found = [(one.source, one.target) for one in names.functions(tree, "x.py")]
    assert found == [
        ("A.f(x, y, *more, deep, **rest)", "Do this."),
        ("A.inner()", "Help."),
        ("A.g(this, cls)", "One"),
    ]


# -- bundle and export -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Seq2Seq, Run, Path]:
    folder = tmp_path_factory.mktemp("trained")
    loop = loop_of(folder / "x.jsonl", *BART, "seq2seq.beams=2", "seq2seq.generated=5")
    with Run(folder / "run", settings=loop.config.run) as run:
        loop.train(run)
        with torch.no_grad():  # so that it writes something else for each text
            for parameter in loop.model.parameters():
                parameter.add_(0.3 * torch.randn(parameter.shape))
        run.evaluate(loop)
        loop.kept = run.examine(loop.sections)  # type: ignore[attr-defined]
    loop.bundle().save(folder / "bundle")
    return loop, run, folder / "bundle"


def test_a_loaded_bundle_writes_and_measures_as_before(
    trained: tuple[Seq2Seq, Run, Path],
) -> None:
    loop, run, path = trained
    before, after = loop.bundle(), TextBundle.load(path)
    texts = ["Rain cloud 3", "plum 7 Apple"]
    assert before.predict(texts) == after.predict(texts)
    assert [set(found) for found in after.predict(texts)] == [{"text"}, {"text"}]
    assert after.predict(texts) == [after.predict(text)[0] for text in texts]
    values = run.evaluations["evaluation"]
    assert after.evaluate(None) == pytest.approx(values, rel=1e-5)


def test_lines_are_answered_with_source_and_text(
    trained: tuple[Seq2Seq, Run, Path], tmp_path: Path
) -> None:
    bundle = TextBundle.load(trained[2])
    path = tmp_path / "more.jsonl"
    path.write_text("\n".join(map(json.dumps, rows_of(3))))
    lines = [json.loads(line) for line in bundle.predict_files([str(path)], None).splitlines()]
    expected = bundle.predict([row["text"] for row in rows_of(3)])
    assert [line["text"] for line in lines] == [found["text"] for found in expected]
    assert [line["source"] for line in lines] == [row["text"] for row in rows_of(3)]
    assert lines[2]["row"].endswith("more.jsonl:3")


def test_a_target_of_a_new_file_that_is_too_long_is_an_error(
    trained: tuple[Seq2Seq, Run, Path], tmp_path: Path
) -> None:
    path = tmp_path / "more.jsonl"
    path.write_text(json.dumps({"text": "a", "label": LONG}))
    with pytest.raises(DataError, match=r"24 are written at most"):
        TextBundle.load(trained[2]).evaluate(path)


def test_the_report_puts_what_is_written_beside_its_target(
    trained: tuple[Seq2Seq, Run, Path],
) -> None:
    loop = trained[0]
    sections = {section.title: section for section in loop.kept}  # type: ignore[attr-defined]
    table = sections["Written texts"].table
    rows = loop.material.valid.rows
    assert table.columns == ("source", "target", "written")
    assert [row[:2] for row in table.rows] == [
        (one["text"], one["label"]) for one in list(rows)[: len(table.rows)]
    ]
    written = [found["text"] for found in loop.bundle().predict(list(rows["text"][:3]))]
    assert [" ".join(text.split()) for text in written] == [row[2] for row in table.rows[:3]]
    assert "chrf" in sections["Beside simple models"].table.columns


@pytest.mark.parametrize("words", [BART, T5])
def test_transformers_loads_an_export_that_writes_the_same(
    made: Made, tmp_path: Path, words: tuple[str, ...]
) -> None:
    loop = made(*words)
    bundle = loop.bundle()
    folder = bundle.export(tmp_path / "model", "transformers")
    model = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = ["Rain cloud 3", "plum"]
    inputs = tokenizer(texts, padding=True, return_tensors="pt")
    targets = tokenizer(text_target=["3 cloud", "Apple"], padding=True, return_tensors="pt")
    labels = targets["input_ids"].masked_fill(targets["attention_mask"] == 0, IGNORED)
    encoded = bundle.tokenizer.encode(texts).texts(torch.arange(2))
    with torch.no_grad():
        expected = bundle.model(encoded, labels)
        found = model(**inputs, labels=labels)
        written = model.generate(**inputs, max_new_tokens=24, do_sample=False)
    torch.testing.assert_close(found.logits, expected, rtol=1e-4, atol=1e-5)
    said = [text.strip() for text in tokenizer.batch_decode(written, skip_special_tokens=True)]
    assert said == [answer["text"] for answer in bundle.predict(texts)]


def test_a_folder_of_transformers_is_trained_on(made: Made, tmp_path: Path) -> None:
    folder = made(*T5).bundle().export(tmp_path / "model", "transformers")
    loop = loop_of(tmp_path / "x.jsonl", *SMALL, f"model.name={folder}")
    mine, theirs = made(*T5), loop
    assert theirs.config.update.optimizer.lr == 1e-4
    texts, targets = batch_of(mine, 5)
    theirs.model.eval()
    with torch.no_grad():
        assert float(theirs.loss(texts, targets).sum) == pytest.approx(
            float(mine.loss(texts, targets).sum), rel=1e-5
        )
    again = TextBundle.load(loop.bundle().save(tmp_path / "bundle"))
    assert again.predict("Rain") == loop.bundle().predict("Rain")


def test_rules_of_writing_come_along_with_a_folder(made: Made, tmp_path: Path) -> None:
    folder = made(*BART).bundle().export(tmp_path / "model", "transformers")
    rules = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps({**rules, "no_repeat_ngram_size": 1}))
    loop = loop_of(tmp_path / "x.jsonl", *SMALL, f"model.name={folder}")
    again = TextBundle.load(loop.bundle().save(tmp_path / "bundle"))
    texts = ["Rain cloud 3", "plum 7 Apple hammer"]
    assert (
        again.predict(texts) == loop.bundle().predict(texts) != made(*BART).bundle().predict(texts)
    )
    (tokens,) = writer(loop).write(
        again.tokenizer.encode(texts[:1]).texts(torch.tensor([0])), beams=1, longest=20
    )
    assert len(tokens[1:-1]) == len(set(tokens[1:-1]))


def test_an_export_as_onnx_is_refused(made: Made, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a Seq2SeqModel cannot be exported as ONNX yet"):
        made(*BART).bundle().export(tmp_path / "model.onnx", "onnx")
    assert list(tmp_path.iterdir()) == []


def test_parts_of_a_model_are_all_of_it_once(made: Made) -> None:
    for words in (BART, T5):
        model = made(*words).model
        parts = [p for stage in model.stages() for part in stage for p in part.parameters()]
        assert {id(p) for p in parts} == {id(p) for p in model.parameters()}


def test_the_config_names_every_setting() -> None:
    words: Mapping[str, Any] = resolve(
        TextConfig, [parse_overrides(TextConfig, ("task=seq2seq", "seq2seq.beams=4"))]
    ).config.seq2seq.model_dump()
    assert words == {"beams": 4, "longest": None, "generated": None}
