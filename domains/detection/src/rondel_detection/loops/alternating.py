"""The four-step training of Faster R-CNN (Ren et al., 2015, section 3.2)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn

from rondel import Run
from rondel_detection.config import DetectionConfig
from rondel_detection.loops.detection_loop import DetectionLoop
from rondel_detection.loops.material import Material
from rondel_detection.models.detector import TwoStageDetector


@dataclass(frozen=True)
class Step:
    """One of the four steps.

    Args:
        name: In logs and checkpoints.
        epochs: Passes over the pictures.
        shares: The convolutions are those of the region network, and stay as they are.
        judges: It trains the region network, on cached proposals; else the proposal network.
    """

    name: str
    epochs: int
    shares: bool
    judges: bool

    def parts_of(self, network: TwoStageDetector) -> list[nn.Module]:
        """Return what the step trains of a network."""
        head = network.parts["roi" if self.judges else "rpn"]
        return [head] if self.shares else [network.parts["backbone"], head]


class Alternating(DetectionLoop):
    """Train proposal and region network in turns until they share their convolutions.

    1. The proposal network, with convolutions of its own.
    2. The region network, with convolutions of its own, on the proposals of step 1.
    3. The proposal network again, on the convolutions of step 2, which stay fixed.
    4. The region network again, on the proposals of step 3; the convolutions stay fixed.

    Proposals are computed once before steps 2 and 4, on the pictures as they are, and kept in the
    checkpoints: flips move them along with the boxes.
    """

    detector: TwoStageDetector

    def __init__(
        self, config: DetectionConfig, detector: TwoStageDetector, material: Material
    ) -> None:
        super().__init__(config, detector, material)
        self.proposer = copy.deepcopy(detector)

    def train(self, run: Run) -> None:
        """Train the four steps; evaluate as soon as both networks share their convolutions."""
        run.track("detector", self.detector)
        run.track("proposer", self.proposer)
        for step in run.phases(four_steps(self.config)):
            if step.name == "rpn_shared":
                run.once(self.hand_over)
            proposals = run.once(self.propose, run, step) if step.judges else None
            stream = self.material.with_proposals(proposals)
            planned = stream.planned(step.epochs)
            network = self.network_of(step)
            trained = step.parts_of(network)
            update = run.update(step.name, trained, self.config.update, total=planned)
            loss = network.region_loss if step.judges else network.proposal_loss
            for _ in run.epochs(step.epochs):
                for images, targets, draw in run.batches(stream):
                    update(loss, images, targets, draw.seeds)
                if step.shares:
                    run.evaluate(self)

    def network_of(self, step: Step) -> TwoStageDetector:
        """Return the copy that a step trains: the first step has convolutions of its own."""
        return self.detector if step.judges or step.shares else self.proposer

    def hand_over(self) -> None:
        """Go on from the proposal head of step 1, now on the convolutions of the detector."""
        self.detector.parts["rpn"].load_state_dict(self.proposer.parts["rpn"].state_dict())

    def propose(self, run: Run, step: Step) -> Tensor:
        """Return the proposals for every picture, (I, P, 4), the same on every process."""
        network = self.detector if step.shares else self.proposer
        count = self.config.alternating.proposals
        made = torch.zeros(len(self.material.train), count, 4)
        with run.examining("proposals"):
            for images, targets in run.batches(self.material.plain):
                found = network.propose(images, targets.sizes)[:, :count].cpu()
                made[targets.rows.cpu(), : found.shape[1]] = found
        shares: Sequence[Tensor] = run.processes.gather(made)
        return torch.stack(list(shares)).sum(dim=0)


def four_steps(config: DetectionConfig) -> tuple[Step, ...]:
    """Divide the epochs among the steps; every step has at least one."""
    shares = config.alternating.share
    ends = [round(config.epochs * end / sum(shares)) for end in accumulate(shares)]
    epochs = [max(1, end - start) for start, end in pairwise((0, *ends))]
    return (
        Step("rpn", epochs[0], shares=False, judges=False),
        Step("roi", epochs[1], shares=False, judges=True),
        Step("rpn_shared", epochs[2], shares=True, judges=False),
        Step("roi_shared", epochs[3], shares=True, judges=True),
    )
