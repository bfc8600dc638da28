"""The network: dense convolutions to 4 x 32, a CTC head over 32 columns, heads for the region, the corners, the layout.

CTC after Graves et al. 2006.  Only convolutions, ReLU, additions, pooling and one fully connected layer: both
TFLite runtimes run every operation in int8.  Dense 3x3 kernels: depthwise ones are slow in tflite-runtime's int8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name PyTorch itself uses

from models.training.ocr.regions import BLANK, REGIONS, UNLABELLED

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HEIGHT_PX, WIDTH_PX = 64, 128
STEPS = 32
CLASSES = BLANK + 1
_ROWS = 4
_SMOOTHING = 0.05
_CONTEXT_STEPS = 21
ISSUER_FEATURES = 96 * 2 * 2


class ConvBlock(nn.Module):
    """Convolution, batch norm, ReLU; adds its input where shapes allow and `residual` says so.

    Strided blocks pad after the last row and column only (TensorFlow's SAME), which folds into the convolution.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: tuple[int, int] = (3, 3),
        stride: tuple[int, int] = (1, 1),
        *,
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.pad = [p for k, s in zip(reversed(kernel), reversed(stride), strict=True) for p in _same(k, s)]
        even = self.pad[0] == self.pad[1] and self.pad[2] == self.pad[3]
        self.conv = nn.Conv2d(
            inputs, outputs, kernel, stride, padding=(self.pad[2], self.pad[0]) if even else 0, bias=False
        )
        self.asymmetric = not even
        self.norm = nn.BatchNorm2d(outputs)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(F.pad(x, self.pad) if self.asymmetric else x))
        return F.relu(x + y) if self.residual else F.relu(y)


def _same(kernel: int, stride: int) -> tuple[int, int]:
    total = kernel - stride
    return total // 2, total - total // 2


class WideBlock(nn.Module):
    """Two convolutions whose second sees most of the line, added to the input: a serial's format is told by the whole.

    The first halves the channels, which keeps the wide kernel cheap.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.narrow = ConvBlock(channels, channels // 2, (1, 1))
        self.conv = nn.Conv2d(channels // 2, channels, (1, width), padding=(0, width // 2), bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.norm(self.conv(self.narrow(x))))


class PlateNet(nn.Module):
    """RGB [n, 3, 64, 128] in 0..1 to symbol logits [n, 32, 37], region logits [n, regions], corners [n, 8] and the
    logit [n, 1] of "a plate whose text stands in one line".

    Corners are the plate's in the input, as shares of its size less those of the input's own corners.
    """

    def __init__(self, channels: tuple[int, int, int, int] = (32, 64, 112, 192)) -> None:
        super().__init__()
        a, b, c, d = channels
        self.trunk = nn.Sequential(
            ConvBlock(3, a, stride=(2, 2)),  # nothing more at 32 x 64: a layer there costs as much as two below
            ConvBlock(a, b, stride=(2, 2)),
            ConvBlock(b, b, residual=True),
            ConvBlock(b, c, stride=(2, 1)),
            ConvBlock(c, c, residual=True),
        )
        self.reader = nn.Sequential(
            ConvBlock(c, d, stride=(2, 1)),
            ConvBlock(d, d, residual=True),
        )
        self.collapse = nn.Conv2d(d, d, (_ROWS, 1), bias=False)
        self.collapse_norm = nn.BatchNorm2d(d)
        self.context = nn.Sequential(ConvBlock(d, d, (1, 5), residual=True), WideBlock(d, _CONTEXT_STEPS))
        self.symbols = nn.Conv2d(d, CLASSES, 1)
        self.issuer = nn.Sequential(ConvBlock(c, 96, stride=(2, 2)), ConvBlock(96, 96, stride=(2, 2)))
        self.region = nn.Linear(ISSUER_FEATURES, len(REGIONS))
        self.outline = nn.Sequential(ConvBlock(c, 32, stride=(2, 2)), ConvBlock(32, 32, stride=(2, 2)))
        self.corners = nn.Linear(32 * 2 * 8, 8)
        self.layout = nn.Sequential(ConvBlock(c, 64, stride=(2, 2)), ConvBlock(64, 64, stride=(2, 2)))
        self.one_line = nn.Linear(64 * 2 * 8, 1)

    def forward(self, x: Tensor, dropout: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """`dropout` [n, ISSUER_FEATURES] scales what tells the region; the caller draws it, so that a step repeats."""
        shared = self.trunk(x)
        y = F.relu(self.collapse_norm(self.collapse(self.reader(shared))))
        symbols = self.symbols(self.context(y)).squeeze(2).transpose(1, 2)
        quarters = F.avg_pool2d(self.issuer(shared), (1, 4)).flatten(1)
        return (
            symbols,
            self.region(quarters if dropout is None else quarters * dropout),
            self.corners(self.outline(shared).flatten(1)),
            self.one_line(self.layout(shared).flatten(1)),
        )


def as_input(images: NDArray[np.uint8], device: str) -> Tensor:
    """uint8 [n, 64, 128, 3] to float [n, 3, 64, 128] in 0..1, channels last in memory."""
    return torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float().div_(255)


def fused(net: PlateNet) -> PlateNet:
    """A copy in evaluation mode with every batch norm folded into its convolution."""
    copy = PlateNet(_channels(net))
    copy.load_state_dict(net.state_dict())
    copy.eval()
    for block in copy.modules():
        if isinstance(block, ConvBlock | WideBlock):
            block.conv = nn.utils.fuse_conv_bn_eval(block.conv, block.norm)
            block.norm = nn.Identity()
    copy.collapse = nn.utils.fuse_conv_bn_eval(copy.collapse, copy.collapse_norm)
    copy.collapse_norm = nn.Identity()
    return copy


def _channels(net: PlateNet) -> tuple[int, int, int, int]:
    widths = [block.conv.out_channels for block in net.trunk if isinstance(block, ConvBlock)]
    return widths[0], widths[1], widths[3], net.collapse.out_channels


def ctc_loss(symbols: Tensor, targets: Tensor, lengths: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean CTC loss of a character; `targets` is [n, longest] padded, `symbols` the logits [n, 32, 37]."""
    log_probability = F.log_softmax(symbols.float(), dim=2).transpose(0, 1)
    steps = torch.full_like(lengths, symbols.shape[1])
    losses = F.ctc_loss(
        log_probability, targets, steps, lengths, blank=BLANK, reduction="none", zero_infinity=True
    )
    return (losses / lengths * weights).mean()


def region_loss(regions: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy of the crops whose region is known; 0 where none is."""
    known = (labels != UNLABELLED).sum()
    losses = F.cross_entropy(
        regions.float(), labels, ignore_index=UNLABELLED, label_smoothing=_SMOOTHING, reduction="sum"
    )
    return losses / known.clamp(min=1)


def layout_loss(one_line: Tensor, boards: Tensor, counted: Tensor) -> Tensor:
    """Mean cross entropy of logits [n, 1] over the counted crops; what is `boards` is to be refused."""
    losses = F.binary_cross_entropy_with_logits(one_line[:, 0].float(), (~boards).float(), reduction="none")
    return (losses * counted).sum() / counted.sum().clamp(min=1)


_OWN_CORNERS = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
_CORNER_BETA = 0.02


def corner_loss(found: Tensor, corners: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean smooth L1 distance of corners [n, 8] from the true ones [n, 4, 2]."""
    wanted = (corners - _OWN_CORNERS.to(corners.device)).flatten(1)
    distance = F.smooth_l1_loss(found.float(), wanted, reduction="none", beta=_CORNER_BETA).mean(dim=1)
    return (distance * weights).sum() / weights.sum()
