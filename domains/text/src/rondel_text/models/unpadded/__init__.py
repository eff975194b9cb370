"""Transformers models without padding: the same states and gradients from the tokens alone."""

from rondel_text.models.unpadded.blocks import Block, Blocks, Cost
from rondel_text.models.unpadded.choice import Choice, choose
from rondel_text.models.unpadded.encoder import Encoder, Padded, Unpadded, encoder_for
from rondel_text.models.unpadded.hidden import Hidden
from rondel_text.models.unpadded.layout import Layout
from rondel_text.models.unpadded.probe import Verdict, probe, supports

__all__ = [
    "Block",
    "Blocks",
    "Choice",
    "Cost",
    "Encoder",
    "Hidden",
    "Layout",
    "Padded",
    "Unpadded",
    "Verdict",
    "choose",
    "encoder_for",
    "probe",
    "supports",
]
