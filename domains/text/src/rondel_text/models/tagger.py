"""A tagger that learns from scratch: words and their letters, read in both directions.

A word is its vector plus what a small convolution finds in its letters (Ma and Hovy, 2016), so that
an unknown word still says something; two recurrent layers look at what stands around it.

Letters: B sentences, L words of the longest, W letters of the longest word, T tags.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

PADDING = 0


class Spelling(nn.Module):
    """What the letters of a word say: the strongest answer of each of some filters.

    Args:
        characters: Size of the alphabet, padding included.
        filters: Values of a word.
        width: Values of a letter.
        span: Letters that a filter sees; odd.
    """

    def __init__(self, characters: int, filters: int, *, width: int = 24, span: int = 3) -> None:
        super().__init__()
        self.letters = nn.Embedding(characters, width, padding_idx=PADDING)
        self.filters = nn.Conv1d(width, filters, span, padding=span // 2)

    def forward(self, letters: Tensor) -> Tensor:
        """Return (N, filters) of (N, W) int64 letters, 0 behind the end of a word."""
        found = self.filters(self.letters(letters).transpose(1, 2)).relu()  # (N, filters, W)
        strongest: Tensor = (found * (letters != PADDING)[:, None]).amax(2)
        return strongest


class Tagger(nn.Module):
    """Give each word of a sentence a tag.

    Args:
        words: Size of the vocabulary, with 0 for padding and 1 for unknown words.
        characters: Size of the alphabet, with 0 for padding.
        tags: T.
        word_width: Values of a word's vector.
        spelling_width: Values that its letters give.
        width: Values of the recurrent layers in each direction.
        layers: Number of them.
        dropout: Chance of each value between layers to be left out in training.
        word_dropout: Chance of a word to be read as unknown in training.
    """

    UNKNOWN = 1

    def __init__(
        self,
        words: int,
        characters: int,
        tags: int,
        *,
        word_width: int = 64,
        spelling_width: int = 64,
        width: int = 96,
        layers: int = 1,
        dropout: float = 0.3,
        word_dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.word_dropout = word_dropout
        self.words = nn.Embedding(words, word_width, padding_idx=PADDING)
        self.spelling = Spelling(characters, spelling_width)
        self.dropout = nn.Dropout(dropout)
        self.context = nn.LSTM(
            word_width + spelling_width,
            width,
            layers,
            batch_first=True,
            bidirectional=True,
            dropout=dropout if layers > 1 else 0.0,
        )
        self.output = nn.Linear(2 * width, tags)

    def forward(self, words: Tensor, letters: Tensor, lengths: Tensor) -> Tensor:
        """Return logits (B, L, T); those behind the end of a sentence mean nothing.

        Args:
            words: (B, L) int64.
            letters: (B, L, W) int64, 0 behind the end of a word.
            lengths: (B,) int64 words of each sentence, at least 1.
        """
        read = torch.cat((self.words(self.blurred(words)), self.spell(letters)), 2)
        packed = pack_padded_sequence(
            self.dropout(read), lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        around, _ = pad_packed_sequence(
            self.context(packed)[0], batch_first=True, total_length=words.shape[1]
        )
        logits: Tensor = self.output(self.dropout(around))
        return logits

    def blurred(self, words: Tensor) -> Tensor:
        """Return words of which some are unknown, in training."""
        if not self.training or self.word_dropout == 0:
            return words
        lost = torch.rand(words.shape, device=words.device) < self.word_dropout
        return words.masked_fill(lost & (words != PADDING), self.UNKNOWN)

    def spell(self, letters: Tensor) -> Tensor:
        """Return (B, L, spelling width) of (B, L, W) letters."""
        spelt: Tensor = self.spelling(letters.flatten(0, 1))
        return spelt.reshape(*letters.shape[:2], -1)
