"""LoRA: what is trained, what is computed, and that the adapters leave no trace in what is kept."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import peft
import pytest
import torch
import transformers as hf
from torch import Tensor, nn

from rondel import Run, keyed
from rondel.callback import Callback
from rondel.config import parse_overrides, resolve
from rondel.errors import ConfigError
from rondel.update import Update
from rondel_text.build import build
from rondel_text.bundle import TextBundle
from rondel_text.config import LoraConfig, TextConfig
from rondel_text.data.batch import Texts
from rondel_text.loops.gradual import Gradual, stages_of
from rondel_text.loops.text_loop import TextLoop
from rondel_text.models.lora import add_adapters, merged
from rondel_text.models.transformer import TransformerModel

TINY = Path(__file__).parent / "tiny" / "topics.csv"
SMALL = (
    *("model.width=16", "model.layers=2", "model.heads=2", "model.vocabulary=400"),
    *("max_length=24", "batch_size=16", "epochs=1"),
)
BERT = ("model.name=bert", *SMALL)
LORA = ("model.lora.rank=2", "model.lora.alpha=8")


def config_of(*words: str) -> TextConfig:
    words = (f"data={TINY}", *words)
    return resolve(TextConfig, [parse_overrides(TextConfig, words)]).config


def built(*words: str) -> TextLoop:
    keyed.reseed(0)
    return build(config_of(*words))


def model_of(loop: TextLoop) -> TransformerModel:
    assert isinstance(loop.model, TransformerModel)
    return loop.model


def moved(model: TransformerModel) -> TransformerModel:
    """Give adapters that are zero at the start, and everything else, some weight."""
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw))
    model.eval()
    return model


def texts_of(loop: TextLoop, count: int = 9) -> Texts:
    found: Texts = loop.material.train.batch_of(torch.arange(count))[0]
    return found


def trained_names(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


# -- what is trained -------------------------------------------------------------------------------


def test_only_adapters_and_head_are_trained() -> None:
    model = model_of(built(*BERT, *LORA)).model
    layers = range(2)
    adapters = {
        f"bert.encoder.layer.{layer}.attention.self.{name}.lora_{side}.default.weight"
        for layer in layers
        for name in ("query", "value")
        for side in "AB"
    }
    head = {f"{part}.{kind}" for part in ("classifier", "bert.pooler.dense") for kind in WEIGHTS}
    assert trained_names(model) == adapters | head


WEIGHTS = ("weight", "bias")


def test_the_share_that_is_trained_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = config_of(*BERT, *LORA)
    loop = build(config)
    adapters = 2 * 2 * (2 * 16 + 16 * 2)  # layers, query and value, A and B
    head = (16 * 16 + 16) + (16 * loop.task.outputs + loop.task.outputs)
    plain = sum(p.numel() for p in model_of(built(*BERT)).parameters())
    with Run(tmp_path / "run", settings=config.run) as run:
        loop.train(run)
    share = 100 * (adapters + head) / (plain + adapters)
    told = f"LoRA of rank 2: {share:.2g} % of {plain + adapters:,} parameters are trained."
    assert told in capsys.readouterr().err


def test_all_of_a_model_is_trained_without_a_rank() -> None:
    model = model_of(built(*BERT))
    assert len(trained_names(model)) == len(list(model.parameters()))
    assert model.adapters == ""
    assert model.merged() is model


def test_training_leaves_the_base_as_it_was_and_lowers_the_loss(tmp_path: Path) -> None:
    words = ("epochs=6", "update.optimizer.lr=2e-2", "model.dropout=0", f"validation={TINY}")
    config = config_of(*BERT, *LORA, *words)
    keyed.reseed(0)
    loop = build(config)
    before = copy.deepcopy(loop.model.state_dict())
    with Run(tmp_path / "run", settings=config.run) as run:
        loop.train(run)
    trained = trained_names(loop.model)
    for name, tensor in loop.model.state_dict().items():
        assert torch.equal(tensor, before[name]) is (name not in trained), name
    rows = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    losses = [row["values"]["loss"] for row in rows if row["event"] == "evaluation"]
    assert len(losses) == 6
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("targets", "adapted"),
    [
        ("query", {"query"}),
        ("query,key", {"query", "key"}),
        ("attention.output.dense", {"dense"}),
        ("all-linear", {"query", "key", "value", "dense"}),
    ],
)
def test_targets_name_the_layers_with_adapters(targets: str, adapted: set[str]) -> None:
    model = model_of(built(*BERT, *LORA, f"model.lora.targets={targets}")).model
    names = [name for name in trained_names(model) if "lora_A" in name]
    assert {name.split(".")[-4] for name in names} == adapted
    assert not any("pooler" in name or "classifier" in name for name in names)
    per_layer = {"all-linear": 6}.get(targets, len(adapted))
    assert len(names) == 2 * per_layer


def test_dropout_and_scale_reach_the_adapters() -> None:
    model = model_of(built(*BERT, *LORA, "model.lora.dropout=0.25", "model.dropout=0")).model
    layer = cast(Any, model).bert.encoder.layer[0].attention.self.query
    assert layer.lora_dropout["default"].p == 0.25
    assert layer.scaling["default"] == 8 / 2
    others = {
        m.p for name, m in model.named_modules() if isinstance(m, nn.Dropout) and "lora" not in name
    }
    assert others == {0.0}


# -- what is computed ------------------------------------------------------------------------------


@torch.no_grad()
def test_adapters_that_were_not_trained_change_nothing() -> None:
    plain, adapted = built(*BERT), built(*BERT, *LORA)
    weights = {
        name.replace(".base_layer", ""): tensor
        for name, tensor in adapted.model.state_dict().items()
        if "lora_" not in name
    }
    plain.model.load_state_dict(weights)
    found, expected = (loop.model.eval()(texts_of(plain)) for loop in (adapted, plain))
    assert torch.equal(found, expected)


@torch.no_grad()
def test_a_layer_computes_the_formula_of_the_paper() -> None:
    model = moved(model_of(built(*BERT, *LORA))).double()
    layer = cast(Any, model.model).bert.encoder.layer[1].attention.self.value
    x = torch.randn(5, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    a, b = (side["default"].weight for side in (layer.lora_A, layer.lora_B))
    base = layer.base_layer
    expected = torch.stack([base.weight @ row + base.bias + (8 / 2) * b @ (a @ row) for row in x])
    torch.testing.assert_close(layer(x), expected, rtol=1e-12, atol=1e-12)


def gradients(model: TransformerModel, texts: Texts) -> dict[str, Tensor]:
    model.zero_grad()
    model(texts).square().sum().backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("words", [BERT, ("model.name=gpt2", *SMALL)])
def test_logits_and_gradients_are_the_same_without_padding(words: tuple[str, ...]) -> None:
    loop = built(*words, *LORA)
    model, texts = moved(model_of(loop)), texts_of(loop)
    assert len(set(texts.lengths.tolist())) > 1
    assert model.reading.startswith("without padding")
    padded = TransformerModel(model.model, "sequence", unpadded=False)
    torch.testing.assert_close(model(texts), padded(texts), rtol=1e-4, atol=1e-5)
    found, expected = gradients(model, texts), gradients(padded, texts)
    assert set(found) == trained_names(model) == set(expected)
    for name, grad in expected.items():
        torch.testing.assert_close(found[name], grad, rtol=1e-3, atol=1e-5)
    before = model(texts)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.zero_()
    assert not torch.allclose(model(texts), before, atol=1e-3)  # the adapters were felt


# -- what is kept ----------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # of peft's wrapper
@pytest.mark.parametrize("words", [BERT, ("model.name=gpt2", *SMALL)])
def test_merged_weights_are_those_that_peft_merges(words: tuple[str, ...]) -> None:
    """Its own wrapped model gets the same weights, and merges them by itself."""
    loop = built(*words, *LORA)
    model, texts = moved(model_of(loop)), texts_of(loop)
    plain = type(model.model)(copy.deepcopy(model.model.config))
    wrapped: Any = peft.get_peft_model(
        plain, peft.LoraConfig(r=2, lora_alpha=8, fan_in_fan_out="gpt2" in words[0])
    )
    found = {f"base_model.model.{name}": p for name, p in model.model.state_dict().items()}
    wrapped.load_state_dict(found)
    expected = wrapped.eval().merge_and_unload()
    kept = model.merged()
    assert isinstance(kept, TransformerModel)
    assert set(kept.model.state_dict()) == set(expected.state_dict())
    for name, tensor in expected.state_dict().items():
        torch.testing.assert_close(kept.model.state_dict()[name], tensor, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(kept(texts), model(texts), rtol=1e-5, atol=1e-5)
    mask = (torch.arange(texts.ids.shape[1]) < texts.lengths[:, None]).long()
    ids = texts.ids.masked_fill(mask == 0, model.model.config.pad_token_id or 0)
    logits = expected(input_ids=ids, attention_mask=mask).logits
    torch.testing.assert_close(kept(texts), logits, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_merging_leaves_the_model_that_is_trained_as_it_is() -> None:
    loop = built(*BERT, *LORA)
    model, texts = moved(model_of(loop)), texts_of(loop)
    before, names = model(texts), trained_names(model)
    kept = model.merged()
    assert isinstance(kept, TransformerModel)
    assert torch.equal(model(texts), before)
    assert trained_names(model) == names
    assert kept.adapters == ""
    assert kept.reading == model.reading
    assert trained_names(kept) == {name for name, _ in kept.named_parameters()}
    assert not any("lora" in name for name, _ in kept.named_modules())
    assert not hasattr(kept.base, "peft_config")


def test_the_facts_of_a_bundle_are_those_of_a_plain_model() -> None:
    plain, adapted = built(*BERT).bundle(), built(*BERT, *LORA).bundle()
    assert adapted.facts["architecture"] == plain.facts["architecture"]
    assert set(adapted.model.state_dict()) == set(plain.model.state_dict())


def test_a_bundle_predicts_without_peft(tmp_path: Path) -> None:
    config = config_of(*BERT, *LORA, "update.optimizer.lr=5e-2")
    keyed.reseed(0)
    loop = build(config)
    with Run(tmp_path / "run", settings=config.run) as run:
        loop.train(run)
        texts = texts_of(loop)
        with torch.no_grad():
            adapted = loop.model.eval()(texts)
        values = dict(run.evaluations["evaluation"])
    bundle = TextBundle.load(loop.bundle().save(tmp_path / "bundle"))
    with torch.no_grad():
        torch.testing.assert_close(bundle.model(texts), adapted, rtol=1e-5, atol=1e-5)
    assert bundle.evaluate(None) == pytest.approx(values, rel=1e-4, abs=1e-5)
    code = (
        "import sys; sys.modules['peft'] = None\n"
        "import json; from rondel_text.bundle import TextBundle\n"
        f"bundle = TextBundle.load({str(tmp_path / 'bundle')!r})\n"
        f"bundle.export(__import__('pathlib').Path({str(tmp_path / 'model')!r}), 'transformers')\n"
        "print(json.dumps(bundle.predict('an apple')[0]['probabilities']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    (expected,) = bundle.predict("an apple")
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == pytest.approx(expected["probabilities"], abs=1e-6)
    again = hf.AutoModelForSequenceClassification.from_pretrained(tmp_path / "model").eval()
    assert not any("lora" in name for name in again.state_dict())
    mask = (torch.arange(texts.ids.shape[1]) < texts.lengths[:, None]).long()
    with torch.no_grad():
        logits = again(input_ids=texts.ids.masked_fill(mask == 0, 0), attention_mask=mask).logits
    torch.testing.assert_close(logits, adapted, rtol=1e-4, atol=1e-5)


# -- the other loops -------------------------------------------------------------------------------


class Owned(Callback):
    """Notes the names of what each update owns, and how fast each is trained."""

    name = "owned"

    def __init__(self, model: nn.Module) -> None:
        self.names = {id(p): name for name, p in model.named_parameters()}
        self.rates: dict[str, dict[str, float]] = {}

    def update_finished(self, run: Run, update: Update) -> None:
        for group in (g for each in update.optimizers for g in each.param_groups):
            for parameter in group["params"]:
                name = self.names.get(id(parameter), "another")
                self.rates.setdefault(update.name, {}).setdefault(name, group["lr"])


def watched(tmp_path: Path, *words: str) -> tuple[TextLoop, Owned]:
    config = config_of(*words)
    keyed.reseed(0)
    loop = build(config)
    owned = Owned(loop.model)
    with Run(tmp_path / "run", settings=config.run, callbacks=[owned]) as run:
        loop.train(run)
    return loop, owned


def parts(names: Sequence[str]) -> set[str]:
    """Return the layers that names belong to, or 'head'."""
    return {name.split(".")[4] if ".layer." in name else "head" for name in names}


def test_gradual_lets_go_of_the_adapters_layer_by_layer(tmp_path: Path) -> None:
    loop, owned = watched(tmp_path, *BERT, *LORA, "loop=gradual", "epochs=4")
    assert isinstance(loop, Gradual)
    assert [stage.name for stage in stages_of(loop.model, loop.config)] == [
        *("depth-1", "depth-2", "whole")  # nothing is trained in the embeddings
    ]
    assert [parts(list(rates)) for rates in owned.rates.values()] == [
        {"head"},
        {"head", "1"},
        {"head", "1", "0"},
    ]
    assert set(owned.rates["whole"]) == trained_names(loop.model)
    rates = owned.rates["whole"]
    of = {
        part: {r for n, r in rates.items() if parts([n]) == {part}} for part in ("head", "1", "0")
    }
    (head,), (first,), (second,) = of["head"], of["1"], of["0"]
    assert head / first == pytest.approx(2.6)
    assert first / second == pytest.approx(2.6)


def test_both_phases_of_pretraining_train_adapters(tmp_path: Path) -> None:
    words = ("loop=pretrain_then_finetune", "pretraining.epochs=1")
    loop, owned = watched(tmp_path, *BERT, *LORA, *words)
    adapters = {name for name in trained_names(loop.model) if "lora_" in name}
    pooler = {name for name in trained_names(loop.model) if "pooler" in name}
    assert set(owned.rates["pretrain"]) == adapters | pooler | {"another"}  # a bias of the tokens
    assert set(owned.rates["finetune"]) == trained_names(loop.model)


@pytest.mark.parametrize(
    "words",
    [
        ("task=causal", "model.name=gpt2"),
        ("task=masked", "model.name=bert"),
    ],
)
def test_language_models_are_trained_on_by_adapters(tmp_path: Path, words: Sequence[str]) -> None:
    loop, owned = watched(tmp_path, *words, *SMALL, *LORA)
    names = set(owned.rates["model"])
    assert names == trained_names(loop.model)
    assert any("lora_A" in name for name in names)
    assert not any("embeddings" in name or "wte" in name for name in names)
    assert loop.bundle().evaluate(None)["loss"] > 0


# -- what does not fit -----------------------------------------------------------------------------


def refused(*words: str) -> str:
    with pytest.raises(ConfigError) as caught:
        built(*words)
    return str(caught.value)


def test_small_models_have_no_adapters() -> None:
    assert refused("model.lora.rank=8") == (
        "model.lora.rank: the small models have no adapters: all of them is trained. Leave it out, "
        "or choose model.name=minilm or a folder of transformers."
    )


def test_peft_is_asked_for_by_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    assert refused(*BERT, *LORA) == (
        'model.lora.rank: LoRA needs peft, which is not installed. pip install "rondel-text[lora]"'
    )
    built(*BERT)


def test_targets_that_the_model_lacks_are_named() -> None:
    assert refused(*BERT, *LORA, "model.lora.targets=q_proj") == (
        "model.lora.targets: the model has no layers 'q_proj'. Name some of its own: dense, key, "
        "query, value; or all-linear."
    )


def test_a_model_that_peft_does_not_know_needs_targets() -> None:
    config = hf.DistilBertConfig(vocab_size=61, dim=32, n_layers=1, n_heads=4, hidden_dim=48)
    model = hf.DistilBertForSequenceClassification(config)
    with pytest.raises(ConfigError) as caught:
        add_adapters(model, LoraConfig(rank=2))
    assert str(caught.value) == (
        "model.lora.targets: peft does not know which layers of a 'distilbert' are its attention. "
        "Name some of its own: k_lin, lin1, lin2, out_lin, q_lin, v_lin; or all-linear."
    )
    told = add_adapters(model, LoraConfig(rank=2, targets=("q_lin",)))
    total = sum(parameter.numel() for parameter in model.parameters())
    assert told.endswith(f" % of {total:,} parameters are trained")


def test_a_copy_without_adapters_is_the_same_model() -> None:
    model = nn.Linear(3, 2)
    twin = merged(model)
    assert torch.equal(twin.weight, model.weight)
    assert twin is not model
