"""The small models: shapes, and that nothing but a sample itself decides what is said about it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from rondel.errors import UsageError
from rondel_text.models.bag import BagClassifier, pieces
from rondel_text.models.recall import START, followers
from rondel_text.models.recurrent import ByteModel
from rondel_text.models.tagger import Tagger

LENGTHS = torch.tensor([3, 7, 1, 5])
LONGEST = 7
assert_same = partial(torch.testing.assert_close, rtol=0.0, atol=1e-6)


def bag(**settings: float) -> BagClassifier:
    torch.manual_seed(0)
    return BagClassifier(5, buckets=97, width=8, **settings).eval()


def tagger(**settings: float) -> Tagger:
    torch.manual_seed(0)
    return Tagger(50, 30, 6, width=8, word_width=8, spelling_width=8, **settings).eval()  # type: ignore[arg-type]


def byte_model(longest: int = 4, layers: int = 1) -> ByteModel:
    torch.manual_seed(0)
    model = ByteModel(width=16, longest=longest, layers=layers, buckets=64).eval()
    for vectors in (model.history.groups, model.recall.vectors):  # which start at zero
        nn.init.normal_(vectors.weight)
    return model


def words_and_letters() -> tuple[Tensor, Tensor]:
    """Return (4, 7) words and (4, 7, 5) letters, padded behind `LENGTHS`."""
    generator = torch.Generator().manual_seed(1)
    words = torch.randint(1, 50, (4, LONGEST), generator=generator)
    letters = torch.randint(1, 30, (4, LONGEST, 5), generator=generator)
    letters[:, ::2, 3:] = 0  # words of three letters
    kept = torch.arange(LONGEST) < LENGTHS[:, None]
    return words * kept, letters * kept[..., None]


def bag_logits(model: nn.Module, rows: slice, padding: int) -> Tensor:
    tokens = functional.pad(words_and_letters()[0][rows], (0, padding), value=9)
    logits: Tensor = model(tokens, LENGTHS[rows])
    return logits


def tagger_logits(model: nn.Module, rows: slice, padding: int) -> Tensor:
    words, letters = (cells[rows] for cells in words_and_letters())
    words = functional.pad(words, (0, padding))
    letters = functional.pad(letters, (0, padding, 0, padding))
    return within(model(words, letters, LENGTHS[rows]), rows)


def byte_logits(model: nn.Module, rows: slice, padding: int) -> Tensor:
    tokens = functional.pad(words_and_letters()[0][rows], (0, padding), value=START)
    return within(model(tokens)[0], rows)


def within(logits: Tensor, rows: slice) -> Tensor:
    """Return logits (B, 7, values) with 0 behind the end of a sample."""
    return logits[:, :LONGEST] * (torch.arange(LONGEST) < LENGTHS[rows, None])[..., None]


MODELS = pytest.mark.parametrize(
    ("make", "logits_of"),
    [(bag, bag_logits), (tagger, tagger_logits), (byte_model, byte_logits)],
    ids=["bag", "tagger", "bytes"],
)
Make = Callable[[], nn.Module]
LogitsOf = Callable[[nn.Module, slice, int], Tensor]


@MODELS
def test_padding_changes_nothing(make: Make, logits_of: LogitsOf) -> None:
    model = make()
    plain = logits_of(model, slice(None), 0)
    assert_same(logits_of(model, slice(None), 6), plain)
    assert plain.std() > 0.01


@MODELS
def test_a_sample_is_told_by_itself_alone(make: Make, logits_of: LogitsOf) -> None:
    model = make()
    together = logits_of(model, slice(None), 0)
    alone = torch.cat([logits_of(model, slice(row, row + 1), 0) for row in range(4)])
    assert_same(alone, together)
    assert not torch.allclose(together[:1], together[1:2], atol=1e-3)


@MODELS
def test_the_gradient_of_a_batch_is_the_sum_over_its_samples(
    make: Make, logits_of: LogitsOf
) -> None:
    model = make().double()
    for module in model.modules():  # the gradient of a recurrent layer needs training mode
        module.train(isinstance(module, nn.RNNBase))

    def gradient(rows: slice) -> list[Tensor]:
        loss = logits_of(model, rows, 0).square().sum()
        return list(torch.autograd.grad(loss, list(model.parameters())))

    parts = [gradient(slice(row, row + 1)) for row in range(4)]
    whole = gradient(slice(None))
    for total, *each in zip(whole, *parts, strict=True):
        torch.testing.assert_close(torch.stack(each).sum(0), total, rtol=1e-9, atol=1e-9)
    assert all(total.abs().sum() > 0 for total in whole)


@MODELS
def test_every_parameter_learns_and_a_few_steps_fit_a_few_samples(
    make: Make, logits_of: LogitsOf
) -> None:
    model = make()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.03)
    wanted = torch.tensor([0, 1, 2, 3])

    def loss() -> Tensor:
        logits = logits_of(model, slice(None), 0)
        first = logits if logits.dim() == 2 else logits[:, 0]
        return functional.cross_entropy(first, wanted)

    for _ in range(60):
        optimizer.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert loss() < 0.1


def test_shapes_are_those_of_the_documentation() -> None:
    words, letters = words_and_letters()
    assert bag()(words, LENGTHS).shape == (4, 5)
    assert tagger()(words, letters, LENGTHS).shape == (4, LONGEST, 6)
    logits, state = byte_model(longest=4, layers=2)(words)
    assert logits.shape == (4, LONGEST, 256)
    assert state.memory.shape == (2, 4, 16)
    assert state.before.tolist() == [[START] * 3 + text for text in words.tolist()]


def test_an_empty_text_has_logits_too() -> None:
    model = bag()
    logits = model(torch.zeros(2, 0, dtype=torch.long), torch.zeros(2, dtype=torch.long))
    assert_same(logits, model.output.bias.expand(2, -1))


def test_training_leaves_pieces_out_and_evaluation_does_not() -> None:
    model = bag(piece_dropout=0.5)
    words, _ = words_and_letters()
    assert torch.equal(model(words, LENGTHS), model(words, LENGTHS))
    model.train()
    assert not torch.equal(model(words, LENGTHS), model(words, LENGTHS))


def test_a_tagger_reads_words_as_unknown_in_training_alone() -> None:
    model = tagger(word_dropout=1.0)
    words, _ = words_and_letters()
    assert torch.equal(model.blurred(words), words)
    model.train()
    assert torch.equal(model.blurred(words), (words > 0).long() * Tagger.UNKNOWN)


def test_a_tagger_looks_in_both_directions_and_at_letters() -> None:
    model = tagger()
    words, letters = words_and_letters()
    plain = model(words, letters, LENGTHS)[1]
    for at, place in ((0, 6), (6, 0)):
        changed = words.clone()
        changed[1, place] = 1 + changed[1, place] % 40
        assert not torch.equal(model(changed, letters, LENGTHS)[1, at], plain[at])
    letters[1, 3, 0] = 1 + letters[1, 3, 0] % 20
    assert not torch.equal(model(words, letters, LENGTHS)[1, 3], plain[3])


@pytest.mark.parametrize("longest", [1, 2, 4])
def test_a_byte_is_told_from_those_before_it(longest: int) -> None:
    model = byte_model(longest)
    words, _ = words_and_letters()
    changed = words.clone()
    changed[:, 4] += 1
    before, after = model(words)[0], model(changed)[0]
    assert_same(after[:, :4], before[:, :4])
    assert (after[:, 4:] != before[:, 4:]).any(-1).all()


@pytest.mark.parametrize("longest", [1, 2, 4])
@pytest.mark.parametrize("cut", [1, 2, 6])
def test_a_text_read_in_parts_is_told_as_in_one_go(longest: int, cut: int) -> None:
    model = byte_model(longest)
    tokens, _ = words_and_letters()
    first, state = model(tokens[:, :cut])
    second, last = model(tokens[:, cut:], state)
    whole, end = model(tokens)
    assert_same(torch.cat((first, second), 1), whole)
    assert_same(last.memory, end.memory)
    assert torch.equal(last.before, end.before)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_what_followed_the_latest_match_is_recalled(size: int) -> None:
    seen = torch.randint(97, 100, (6, 40), generator=torch.Generator().manual_seed(2))
    found = followers(seen, size)
    for text, told in zip(seen.tolist(), found.tolist(), strict=True):
        padded = [START] * size + text
        for place in range(len(text)):
            end = place + size + 1
            latest, known = padded[end - size : end], START
            for other in range(place):
                if padded[other + 1 : other + 1 + size] == latest:
                    known = text[other + 1]
            assert told[place] == known


def test_a_repeated_word_is_recalled_over_a_cut() -> None:
    model = byte_model()
    text = torch.tensor([list(b"the spam, the spam")])
    whole, _ = model(text)
    first, state = model(text[:, :9])
    second, _ = model(text[:, 9:], state)
    assert_same(torch.cat((first, second), 1), whole)
    alone, _ = model(text[:, 9:])
    assert not torch.allclose(alone[:, -1], whole[:, -1], atol=1e-3)


def test_pieces_are_words_pairs_and_parts_once_each_and_of_no_padding() -> None:
    buckets = 1 << 20
    assert pieces("An ox", buckets=buckets) == pieces("an OX an ox"[:5], buckets=buckets)
    # two words, one pair; " an " has 3 + 2 + 1 pieces and " ox " as many
    assert len(pieces("an ox", buckets=buckets)) == 2 + 1 + 6 + 6
    assert len(pieces("an an", buckets=buckets)) == 1 + 1 + 6
    assert pieces("an ox", buckets=buckets, most=4) == pieces("an ox", buckets=buckets)[:4]
    assert set(pieces("the quick brown fox jumps", buckets=5)) == {1, 2, 3, 4}
    assert pieces("", buckets=buckets) == []


def test_a_bag_without_buckets_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"1 buckets hold no piece\. Take 2 or more"):
        BagClassifier(3, buckets=1)
