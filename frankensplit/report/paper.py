# SPDX-License-Identifier: Apache-2.0
"""Figures printed in the paper (arXiv 2302.10681), for setting beside ours: another task, on other machines."""

from __future__ import annotations

TITLE = "FrankenSplit, IEEE Transactions on Mobile Computing 2024, arXiv 2302.10681"
TASK = "ImageNet classification at 224x224, Swin-B"
HARDWARE = "Jetson TX2 or Xavier NX as client, RTX 3090 as server"

# Table 6: parameters of encoder and decoder in millions; ms of encoder on NX and TX2, of decoder, of all on NX and TX2.
TABLE_6 = (
    ("FrankenSplit", 0.14, 2.06, 2.92, 4.87, 2.00, 16.34, 18.29),
    ("Balle-FP", 3.51, 3.51, 27.27, 48.93, 1.30, 41.71, 63.37),
    ("Balle-SHP", 8.30, 5.90, 28.16, 50.89, 1.51, 42.81, 65.54),
    ("Minnen-MSHP", 14.04, 11.65, 29.51, 52.39, 1.52, 44.17, 67.05),
    ("Minnen-JHAP", 21.99, 19.59, 4128.17, 4789.89, 275.18, 4416.7, 5078.2),
    ("Cheng-JHAP", 16.35, 22.27, 2167.34, 4153.95, 277.26, 2457.7, 4444.3),
    ("Lu-JHAP", 5.28, 4.37, 2090.88, 5011.56, 352.85, 2456.8, 5377.8),
    ("Chen-BJHAP", 36.73, 28.08, 3111.01, 5837.38, 43.16, 3167.3, 5893.6),
)

# Table 7: bytes a frame (worked out from its transfer times), then ms in all on TX2 and on NX for each link; image
# codecs take no client time there, so they have one figure.
TABLE_7_LINKS = ("BLE 0.27 Mbit/s", "4G 12 Mbit/s", "Wi-Fi 54 Mbit/s", "5G 66.9 Mbit/s")
TABLE_7 = (
    ("FrankenSplit (0.23)", 4812, (160.48, 158.53), (21.09, 19.15), (18.60, 16.65), (18.46, 16.51)),
    ("FrankenSplit (LL)", 7084, (227.78, 225.83), (22.61, 20.66), (18.93, 16.99), (18.73, 16.78)),
    ("Minnen-MSHP", 11774, (415.89, 393.01), (74.89, 52.01), (68.78, 45.90), (68.44, 45.56)),
    ("Chen-BJHAP", 1350, (6167.79, 3441.41), (6128.69, 3402.31), (6127.99, 3401.61), (6127.95, 3401.57)),
    ("WebP", 29225, (879.06,), (32.63,), (17.47,), (16.64,)),
    ("PNG", 85475, (2545.72,), (70.13,), (25.81,), (23.36,)),
)
