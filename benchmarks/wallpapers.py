"""Collect the training images of the shipped networks from three Debian packages.

Download and unpack the packages first (root is not needed), run this, and prepare the dataset:

    apt-get download lomiri-wallpapers-16.04 mate-backgrounds plasma-workspace-wallpapers
    for deb in *.deb; do dpkg -x "$deb" unpacked; done
    python benchmarks/wallpapers.py unpacked pictures
    nas data prepare pictures --out teacher-set --validation 0.25

Without ``--all`` these are the 24 images of `hat-tiny`; with it, also the softer ones that the
shipped student was trained on.

Images that are soft at full size are reduced until they are sharp (PSNR after 4x Lanczos down and
up at most about 34 dB). No photo of scikit-image or scikit-learn is among them, so that the sample
dataset stays unseen.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

LOMIRI = "usr/share/backgrounds"
MATE = "usr/share/backgrounds/mate"
PLASMA = "usr/share/wallpapers/{}/contents/images/{}"

# Path in the packages -> divisor of the sides.
PICTURES = {
    f"{LOMIRI}/life_by_Aitzol_Berasategi.jpg": 1,
    f"{LOMIRI}/picosdeeuropa_by_Aitzol_Berasategi.jpg": 1,
    f"{LOMIRI}/aitzgorri_by_Aitzol_Berasategi.jpg": 2,
    f"{LOMIRI}/Picture_0B_by_freespace.jpg": 1,
    f"{LOMIRI}/Picture_1A_by_freespace.jpg": 1,
    f"{LOMIRI}/Bridge_by_Sander_Klootwijk.jpg": 3,
    f"{LOMIRI}/Dragonfly_by_Bolly.jpg": 2,
    f"{LOMIRI}/analogpattern_by_Peter_Nerlich.jpg": 2,
    f"{LOMIRI}/sunset_by_Aitzol_Berasategi.jpg": 3,
    f"{MATE}/abstract/Elephants_5640x3172.jpg": 2,
    f"{MATE}/nature/Dune.jpg": 2,
    f"{MATE}/nature/TwoWings.jpg": 3,
    PLASMA.format("Autumn", "2560x1600.jpg"): 1,
    PLASMA.format("BytheWater", "2560x1600.jpg"): 2,
    PLASMA.format("ColdRipple", "2560x1600.jpg"): 1,
    PLASMA.format("ColorfulCups", "2560x1600.jpg"): 2,
    PLASMA.format("EveningGlow", "2560x1600.jpg"): 1,
    PLASMA.format("FallenLeaf", "2560x1600.jpg"): 3,
    PLASMA.format("Grey", "2560x1600.jpg"): 2,
    PLASMA.format("OneStandsOut", "2560x1600.jpg"): 1,
    PLASMA.format("Patak", "5120x2880.png"): 2,
    PLASMA.format("Path", "2560x1600.jpg"): 1,
    PLASMA.format("SafeLanding", "5120x2880.jpg"): 2,
    PLASMA.format("summer_1am", "2560x1600.jpg"): 1,
}

SOFTER = {
    f"{LOMIRI}/friends_by_Aitzol_Berasategi.jpg": 2,
    f"{LOMIRI}/free_by_Peter_Nerlich.jpg": 3,
    f"{LOMIRI}/greentock_by_Peter_Nerlich.jpg": 3,
    f"{LOMIRI}/Wine_by_Jakkub_Mede.jpg": 3,
    f"{LOMIRI}/seeding_by_Clements_Engelhardt.jpg": 2,
    f"{MATE}/nature/Garden.jpg": 3,
    f"{MATE}/nature/RainDrops.jpg": 3,
    f"{MATE}/nature/Storm.jpg": 3,
    f"{MATE}/nature/Wood.jpg": 3,
    f"{MATE}/nature/YellowFlower.jpg": 3,
    PLASMA.format("Canopee", "3840x2160.png"): 3,
    PLASMA.format("FlyingKonqui", "2560x1600.png"): 2,
    PLASMA.format("Volna", "5120x2880.jpg"): 1,
    PLASMA.format("Opal", "3840x2160.png"): 1,
}


def main(unpacked: Path, out: Path, everything: bool) -> None:
    """Write the images as PNG files to ``out``, named after the wallpapers."""
    out.mkdir(parents=True, exist_ok=True)
    for place, factor in (PICTURES | SOFTER if everything else PICTURES).items():
        wallpaper = Path(place)
        name = wallpaper.parts[3] if "wallpapers" in wallpaper.parts else wallpaper.stem
        with Image.open(unpacked / place) as opened:
            picture = opened.convert("RGB")
        if factor > 1:
            size = (picture.width // factor, picture.height // factor)
            picture = picture.resize(size, Image.Resampling.LANCZOS)
        picture.save(out / f"{name}.png", compress_level=1)
        print(name, *picture.size)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), "--all" in sys.argv[3:])
