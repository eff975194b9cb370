"""A model without padding gives the states and gradients of the padded one, or says it cannot."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers as hf
from architectures import GROUPED, SIZES, SPECIAL, UNPADDED, VOCABULARY
from torch import Tensor, nn

from rondel.errors import UsageError
from rondel_text.models.unpadded import (
    Cost,
    Hidden,
    Layout,
    Padded,
    Unpadded,
    choose,
    encoder_for,
    probe,
    supports,
)
from rondel_text.models.unpadded import attention as attention_room
from rondel_text.models.unpadded.blocks import Blocks
from rondel_text.models.unpadded.network import Batch, Network

FALLBACKS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "mpnet": (lambda: hf.MPNetModel(hf.MPNetConfig(**SIZES)), "does not go through"),
    "deberta": (
        lambda: hf.DebertaV2Model(
            hf.DebertaV2Config(**SIZES, relative_attention=True, pos_att_type=["p2c", "c2p"])
        ),
        "does not go through",
    ),
    "t5": (
        lambda: hf.T5EncoderModel(
            hf.T5Config(
                vocab_size=VOCABULARY, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4
            )
        ),
        "'position_bias'",
    ),
    "gemma2": (
        lambda: hf.Gemma2Model(hf.Gemma2Config(**GROUPED, head_dim=8)),
        "'softcap'",
    ),
    "mamba": (
        lambda: hf.MambaModel(
            hf.MambaConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2)
        ),
        "differ from the padded ones",
    ),
}
LENGTHS = (9, 1, 20, 3, 20, 12, 1, 13)
BLOCKINGS = {"one block": 10**9, "some blocks": 150, "equal lengths": 0}


@pytest.fixture(params=list(BLOCKINGS.values()), ids=list(BLOCKINGS))
def blocking(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Divide batches coarsely or finely, whatever would be fast for tiny models."""
    cost = Cost(call=request.param, copy=0)
    monkeypatch.setattr(Cost, "on", lambda device, width: cost)


def build(name: str) -> Any:
    torch.manual_seed(0)
    return hf.AutoModel.from_config(UNPADDED[name]()).eval()


def texts(lengths: tuple[int, ...] = LENGTHS, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return random ids, with garbage behind the end of each text, and lengths."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, VOCABULARY, (len(lengths), max(lengths) + 3), generator=generator)
    return ids, torch.tensor(lengths)


def states_and_gradients(encoder: Any, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return the flat states and all gradients of a randomly weighted sum of them."""
    flat = encoder(ids, lengths).flat
    weights = torch.randn(flat.shape, generator=torch.Generator().manual_seed(1))
    parameters = list(encoder.model.parameters())
    grads = torch.autograd.grad((flat * weights).sum(), parameters, allow_unused=True)
    filled = [
        torch.zeros_like(p) if g is None else g for p, g in zip(parameters, grads, strict=True)
    ]
    return flat.detach(), torch.cat([g.flatten() for g in filled])


def distance(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).detach().norm() / expected.detach().norm())


def assert_same(encoder: Any, lengths: tuple[int, ...] = LENGTHS) -> None:
    """Compare with the padded model: states and gradients, relative to their norms."""
    batch = texts(lengths)
    states, grads = states_and_gradients(encoder, *batch)
    padded_states, padded_grads = states_and_gradients(Padded(encoder.model), *batch)
    assert distance(states, padded_states) < 1e-5
    assert distance(grads, padded_grads) < 1e-5


# -- the same numbers ------------------------------------------------------------------------------


@pytest.mark.usefixtures("blocking")
@pytest.mark.parametrize("name", UNPADDED)
def test_states_and_gradients_are_those_of_the_padded_model(name: str) -> None:
    assert_same(Unpadded(build(name)))


@pytest.mark.parametrize("name", ["bert", "modernbert", "mistral"])
@pytest.mark.parametrize("lengths", [(1,), (7,), (1, 1, 1), (6, 6, 6), (2, 30)])
def test_extreme_batches_give_the_same(name: str, lengths: tuple[int, ...]) -> None:
    assert_same(Unpadded(build(name)), lengths)


def test_the_padded_states_are_those_of_transformers() -> None:
    model = build("bert")
    ids, lengths = texts()
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    expected = model(input_ids=ids, attention_mask=mask).last_hidden_state
    for encoder in (Padded(model), Unpadded(model)):
        hidden = encoder(ids, lengths)
        torch.testing.assert_close(hidden.flat, expected[mask.bool()], rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("blocking")
def test_the_order_of_texts_does_not_matter() -> None:
    encoder = Unpadded(build("modernbert"))
    ids, lengths = texts()
    shuffled = torch.tensor([3, 0, 7, 1, 6, 2, 5, 4])
    first = encoder(ids, lengths).first()
    again = encoder(ids[shuffled], lengths[shuffled]).first()
    torch.testing.assert_close(again, first[shuffled], rtol=1e-5, atol=1e-5)


def test_pieces_of_a_batch_add_up_to_its_gradient() -> None:
    model = build("bert")
    encoder = Unpadded(model)
    ids, lengths = texts()

    def gradient(part: slice) -> Tensor:
        loss = encoder(ids[part], lengths[part]).first().square().sum()
        grads = torch.autograd.grad(loss, model.parameters(), allow_unused=True)
        return torch.cat([g.flatten() for g in grads if g is not None])

    pieces = gradient(slice(0, 3)) + gradient(slice(3, 4)) + gradient(slice(4, 8))
    assert distance(pieces, gradient(slice(0, 8))) < 1e-5


def test_token_types_are_unpadded_too() -> None:
    model = build("bert")
    ids, lengths = texts()
    types = torch.randint(0, 2, ids.shape, generator=torch.Generator().manual_seed(2))
    padded = Padded(model)(ids, lengths, token_types=types).flat
    assert distance(Unpadded(model)(ids, lengths, token_types=types).flat, padded) < 1e-5
    assert distance(padded, Padded(model)(ids, lengths).flat) > 1e-2


def test_a_head_per_token_can_be_run_too() -> None:
    for model in (
        hf.BertForTokenClassification(hf.BertConfig(**SIZES)).eval(),
        hf.LlamaForCausalLM(hf.LlamaConfig(**GROUPED)).eval(),
    ):
        padded = Padded(model, head=True)(*texts()).flat
        assert padded.shape == (sum(LENGTHS), model(texts()[0]).logits.shape[-1])
        assert distance(Unpadded(model, head=True)(*texts()).flat, padded) < 1e-5
        assert Unpadded(model)(*texts()).flat.shape == (sum(LENGTHS), 32)


# -- a test that cannot fail proves nothing --------------------------------------------------------


def counting_on(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
    """Let the positions of a row run on instead of restarting with each text."""
    if "position_ids" in kwargs:
        kwargs["position_ids"] = torch.arange(kwargs["position_ids"].shape[1])[None]
    return args, kwargs


def across_texts(heads: list[Tensor], mask: Any, *, dropout: float, scaling: float) -> Tensor:
    """Attend to the whole row."""
    query, key, value = (t.transpose(0, 1) for t in heads)
    return nn.functional.scaled_dot_product_attention(
        query, key, value, scale=scaling, is_causal=mask.masks[0].causal
    ).transpose(0, 1)


def to_padding(block: Any, device: Any) -> Tensor:
    """Take padding for tokens."""
    return torch.ones(len(block.lengths), block.longest, dtype=torch.bool)


@pytest.mark.parametrize("name", ["bert", "roberta", "gpt2", "albert", "opt"])
def test_positions_that_run_on_are_noticed(name: str) -> None:
    encoder = Unpadded(build(name))
    encoder.model.register_forward_pre_hook(counting_on, with_kwargs=True)
    with pytest.raises(AssertionError):
        assert_same(encoder, (9, 1, 20, 3, 12, 13))
    assert not supports(encoder.model)


@pytest.mark.parametrize("name", ["llama", "modernbert"])
def test_rotary_positions_are_relative_so_running_on_changes_nothing(name: str) -> None:
    encoder = Unpadded(build(name))
    encoder.model.register_forward_pre_hook(counting_on, with_kwargs=True)
    assert_same(encoder)


@pytest.mark.parametrize("name", ["bert", "roberta", "modernbert", "gpt2", "llama", "mistral"])
def test_attention_across_texts_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Unpadded(build(name))
    monkeypatch.setattr(attention_room, "blockwise", across_texts)
    with pytest.raises(AssertionError):
        assert_same(encoder)
    assert "differ from the padded ones" in probe(encoder.model).reason


@pytest.mark.parametrize("name", ["bert", "modernbert"])
def test_attention_to_padding_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Unpadded(build(name))
    monkeypatch.setattr(attention_room, "is_token", to_padding)
    with pytest.raises(AssertionError):
        assert_same(encoder)
    assert not supports(encoder.model)


# -- models that need padding ----------------------------------------------------------------------


@pytest.mark.parametrize("name", FALLBACKS)
def test_a_model_that_needs_padding_falls_back_and_says_why(name: str) -> None:
    make, reason = FALLBACKS[name]
    torch.manual_seed(0)
    model: Any = make().eval()
    before = model.config._attn_implementation
    assert not supports(model)
    encoder = encoder_for(model)
    assert isinstance(encoder, Padded)
    assert reason in encoder.reason
    assert model.config._attn_implementation == before
    assert encoder(*texts()).first().shape == (len(LENGTHS), 32)
    with pytest.raises(
        UsageError, match=r"cannot run without padding: .* Use encoder_for\(model\)"
    ):
        Unpadded(model)


def test_a_head_that_makes_one_row_of_a_text_is_refused_with_advice() -> None:
    model = hf.BertForSequenceClassification(hf.BertConfig(**SIZES))
    assert "takes hidden.first(), outside of the model" in probe(model, head=True).reason
    assert supports(model)


def test_the_probe_leaves_no_trace() -> None:
    model = build("roberta").train()
    model.encoder.layer[0].eval()
    modes = [module.training for module in model.modules()]
    implementation = model.config._attn_implementation
    state = torch.get_rng_state()
    assert probe(model).position_offset == 2
    assert [module.training for module in model.modules()] == modes
    assert model.config._attn_implementation == implementation
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())


# -- the model around it ---------------------------------------------------------------------------


def test_the_model_can_still_be_called_padded_saved_and_used_to_generate(tmp_path: Any) -> None:
    torch.manual_seed(0)
    model = hf.LlamaForCausalLM(hf.LlamaConfig(**GROUPED, **SPECIAL)).eval()
    ids, lengths = texts()
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    settings: dict[str, Any] = {"max_new_tokens": 4, "do_sample": False}
    before = model(input_ids=ids, attention_mask=mask).logits, model.generate(ids[:1], **settings)
    Unpadded(model)
    after = model(input_ids=ids, attention_mask=mask).logits, model.generate(ids[:1], **settings)
    torch.testing.assert_close(after[0], before[0], rtol=0, atol=0)
    assert torch.equal(after[1], before[1])
    model.save_pretrained(tmp_path)
    assert "rondel_unpadded" not in (tmp_path / "config.json").read_text()


def test_calls_nest_and_models_do_not_see_each_other() -> None:
    outer, inner = Unpadded(build("bert")), Unpadded(build("mistral"))
    expected, expected_inner = outer(*texts()).flat, inner(*texts((4, 8), seed=3)).flat
    padded_inner = inner.model(texts((4, 8), seed=3)[0][:, :8]).last_hidden_state
    seen: list[Tensor] = []
    inside = iter([True])

    def call_inside(*_: Any) -> None:
        if next(inside, False):
            seen.append(outer(*texts((5, 2, 2))).flat)
            seen.append(inner(*texts((4, 8), seed=3)).flat)
            seen.append(inner.model(texts((4, 8), seed=3)[0][:, :8]).last_hidden_state)

    outer.model.encoder.layer[0].register_forward_hook(call_inside)
    torch.testing.assert_close(outer(*texts()).flat, expected, rtol=0, atol=0)
    torch.testing.assert_close(seen[1], expected_inner, rtol=0, atol=0)
    torch.testing.assert_close(seen[2], padded_inner, rtol=0, atol=0)
    assert attention_room.CURRENT.get() is None


def test_a_call_that_fails_leaves_no_layout_behind() -> None:
    encoder = Unpadded(build("bert"))
    ids, lengths = texts()
    with pytest.raises(IndexError):
        encoder(ids + VOCABULARY, lengths)
    assert attention_room.CURRENT.get() is None


def test_a_copy_is_independent() -> None:
    encoder = Unpadded(build("bert"))
    twin = copy.deepcopy(encoder)
    with torch.no_grad():
        next(encoder.model.parameters()).zero_()
    assert distance(encoder(*texts()).flat, twin(*texts()).flat) > 1e-2
    assert_same(twin)


@pytest.mark.parametrize("name", ["bert", "mistral"])
def test_gradient_checkpointing_gives_the_same_gradients(name: str) -> None:
    model = build(name)
    encoder = Unpadded(model)
    expected = states_and_gradients(encoder, *texts())[1]
    model.train()
    # its name and its default differ between versions of transformers
    enable = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)
    enable({"use_reentrant": False})
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    assert distance(states_and_gradients(encoder, *texts())[1], expected) < 1e-5


def test_attention_dropout_is_applied_in_training_only() -> None:
    torch.manual_seed(0)
    config = hf.BertConfig(**SIZES, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.5)
    model = hf.BertModel(config)
    encoder = Unpadded(model)

    def states(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return encoder(*texts()).flat.detach()

    assert torch.equal(states(0), states(0))
    assert distance(states(0), states(1)) > 1e-2
    model.eval()
    assert torch.equal(states(0), states(1))


def test_autocast_reaches_the_attention() -> None:
    encoder = Unpadded(build("llama"))
    with torch.autocast("cpu", torch.bfloat16):
        rounded = encoder(*texts()).flat
        padded = Padded(encoder.model)(*texts()).flat
    assert 0 < distance(rounded.float(), encoder(*texts()).flat) < 5e-2
    assert distance(rounded.float(), padded.float()) < 5e-2


def test_half_precision_is_probed_with_its_own_tolerance() -> None:
    model = build("llama").bfloat16()
    encoder = Unpadded(model)
    assert "bfloat16" in encoder.reason
    assert encoder(*texts()).first().dtype == torch.bfloat16


@pytest.mark.parametrize("name", ["bert", "roberta", "modernbert", "gpt2", "llama", "mistral"])
def test_nothing_in_the_forward_pass_waits_for_a_device(name: str) -> None:
    # tensors of the meta device have no values: whoever asks for one raises
    model = build(name)
    offset = probe(model).position_offset
    Unpadded(model)
    network, lengths = Network.of(model.to("meta"), head=False), torch.tensor(LENGTHS)
    batch = Batch(texts()[0].to("meta"), Layout.of(lengths, device="meta"))
    blocks = Blocks.of(batch.layout, Cost(call=100, copy=0))
    rows = network.row(batch, blocks, position_offset=offset or 0)
    hidden = Hidden(rows, blocks.rows, batch.layout)
    for taken in (hidden.first(), hidden.last(), hidden.mean()):
        assert taken.shape == (len(LENGTHS), 32)


# -- the choice ------------------------------------------------------------------------------------


def test_choose_returns_the_faster_way_and_the_numbers() -> None:
    model = build("bert").train()
    state = torch.get_rng_state()
    choice = choose(model, *texts((64, 2, 3, 2, 3, 2, 3, 2)))
    assert choice.reason.startswith(("unpadded: ", "padded: "))
    assert choice.reason.endswith("on a batch with 84% padding")
    assert isinstance(choice.encoder, Unpadded) == choice.reason.startswith("unpadded")
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_choose_keeps_a_model_padded_that_needs_padding() -> None:
    choice = choose(FALLBACKS["mpnet"][0](), *texts())
    assert isinstance(choice.encoder, Padded)
    assert choice.reason.startswith("padded: ")
    assert "does not go through transformers' AttentionInterface" in choice.reason
