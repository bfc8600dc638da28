"""The network: dense 3x3 convolutions down to stride 32 and a narrow pyramid back up to stride 8, one anchor-free head.

Per cell of 8 pixels: score, offset of the plate's centre in cells, logarithm of its size over 16 pixels (CenterNet,
Zhou et al. 2019).  Nearest-neighbour upsampling and ReLU only: both TFLite runtimes run every operation in int8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name PyTorch itself uses

if TYPE_CHECKING:
    from collections.abc import Iterator

STRIDE = 8
SIZE_BASE_PX = 16.0
_PRIOR_LOGIT = -4.6
"""A cell holds a plate once in a hundred (Lin et al. 2017, focal loss, prior)."""


class ConvBlock(nn.Module):
    """Convolution, batch norm, ReLU.  Strided ones pad after the last row and column only, as TensorFlow's SAME."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> None:
        super().__init__()
        padding = kernel // 2 if stride == 1 else 0
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=padding, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        if self.conv.stride[0] > 1:
            x = F.pad(x, (0, 1, 0, 1))
        return F.relu(self.norm(self.conv(x)))


class DetectorNet(nn.Module):
    """RGB [n, 3, H, W] in 0..1 to logits [n, 1, H/8, W/8], offsets [n, 2, ...] and log sizes [n, 2, ...]."""

    def __init__(self) -> None:
        super().__init__()
        self.down8 = nn.Sequential(
            ConvBlock(3, 16, 2),
            ConvBlock(16, 24, 2), ConvBlock(24, 24),
            ConvBlock(24, 48, 2), ConvBlock(48, 48), ConvBlock(48, 48),
        )  # fmt: skip
        self.down16 = nn.Sequential(ConvBlock(48, 64, 2), ConvBlock(64, 64), ConvBlock(64, 64))
        self.down32 = nn.Sequential(ConvBlock(64, 96, 2), ConvBlock(96, 96), ConvBlock(96, 96))
        self.lateral32 = ConvBlock(96, 64, kernel=1)
        self.smooth16 = ConvBlock(64, 64)
        self.lateral16 = ConvBlock(64, 48, kernel=1)
        self.smooth8 = ConvBlock(48, 48)
        self.head = ConvBlock(48, 48)
        self.score = nn.Conv2d(48, 1, 1)
        self.offset = nn.Conv2d(48, 2, 1)
        self.size = nn.Conv2d(48, 2, 1)
        nn.init.constant_(self.score.bias, _PRIOR_LOGIT)

    def blocks(self) -> Iterator[ConvBlock]:
        """Every block, in the order in which they run."""
        for part in (
            self.down8, self.down16, self.down32,
            self.lateral32, self.smooth16, self.lateral16, self.smooth8, self.head,
        ):  # fmt: skip
            yield from part if isinstance(part, nn.Sequential) else (part,)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        fine = self.down8(x)
        middle = self.down16(fine)
        coarse = self.lateral32(self.down32(middle))
        middle = self.smooth16(middle + F.interpolate(coarse, scale_factor=2.0, mode="nearest"))
        fine = self.smooth8(fine + F.interpolate(self.lateral16(middle), scale_factor=2.0, mode="nearest"))
        head = self.head(fine)
        return self.score(head), self.offset(head), self.size(head)


class Exported(nn.Module):
    """The network as the agent reads it: [n, H, W, 3] in, score in 0..1, offsets bounded to two cells."""

    def __init__(self, net: DetectorNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        score, offset, size = self.net(x.permute(0, 3, 1, 2))
        return tuple(t.permute(0, 2, 3, 1) for t in (score.sigmoid(), 2 * offset.tanh(), size.clamp(-1, 4)))


def fused(net: DetectorNet) -> DetectorNet:
    """A copy in evaluation mode with every batch norm folded into its convolution."""
    copy = DetectorNet()
    copy.load_state_dict(net.state_dict())
    copy.eval()
    for block in copy.modules():
        if isinstance(block, ConvBlock):
            block.conv = nn.utils.fuse_conv_bn_eval(block.conv, block.norm)
            block.norm = nn.Identity()
    return copy


def loss_of(outputs: tuple[Tensor, Tensor, Tensor], target: Target) -> tuple[Tensor, float]:
    """Quality focal score loss and generalised IoU box loss; returns the loss and the mean IoU of positive cells.

    The score learns the IoU it reaches (generalised focal loss, Li et al. 2020), boxes learn by GIoU (Rezatofighi
    et al. 2019) and a small smooth L1 that keeps its gradient where boxes do not touch.
    """
    score, offset, size = (t.float() for t in outputs)
    score = score[:, 0]
    boxes = torch.cat([2 * torch.tanh(offset), size.clamp(-2, 4)], 1).permute(0, 2, 3, 1)[target.positive]
    wanted = target.boxes.permute(0, 2, 3, 1)[target.positive]
    iou, giou = _overlap(boxes, wanted)
    count = target.positive.sum().clamp(min=1)
    box_loss = ((1 - giou).sum() + 0.5 * F.smooth_l1_loss(boxes, wanted, beta=0.1, reduction="sum")) / count
    quality = torch.zeros_like(score)
    quality[target.positive] = iou.detach().clamp(min=0.3)
    weight = torch.where(target.positive, 1.0, 0.75 * score.detach().sigmoid() ** 2)
    weight = torch.where(target.unsure & ~target.positive, weight * 0.05, weight)
    entropy = F.binary_cross_entropy_with_logits(score, quality, reduction="none")
    return (entropy * weight).sum() / count + 2 * box_loss, float(iou.mean()) if len(iou) else 0.0


def _overlap(boxes: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU of [n, 4] boxes given as offset in cells and log size."""
    centre, wanted_centre = boxes[:, :2] * STRIDE, wanted[:, :2] * STRIDE
    extent, wanted_extent = SIZE_BASE_PX * boxes[:, 2:].exp(), SIZE_BASE_PX * wanted[:, 2:].exp()
    low, wanted_low = centre - extent / 2, wanted_centre - wanted_extent / 2
    high, wanted_high = centre + extent / 2, wanted_centre + wanted_extent / 2
    shared = (torch.minimum(high, wanted_high) - torch.maximum(low, wanted_low)).clamp(min=0).prod(1)
    union = extent.prod(1) + wanted_extent.prod(1) - shared
    hull = (torch.maximum(high, wanted_high) - torch.minimum(low, wanted_low)).prod(1)
    iou = shared / union
    return iou, iou - (hull - union) / hull


class Target:
    """What a batch should give: cells that hold a plate, their boxes, and cells nobody knows about."""

    def __init__(self, positive: Tensor, boxes: Tensor, unsure: Tensor) -> None:
        self.positive = positive
        self.boxes = boxes
        self.unsure = unsure
