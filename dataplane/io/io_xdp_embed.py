# SPDX-License-Identifier: BSD-3-Clause
"""io_xdp_embed.py OBJECT SOURCE: the bytes of an object file as a C array (declared in io_xdp.h). Called by meson.build."""
import sys

with open(sys.argv[1], "rb") as file:
    data = file.read()
lines = [" ".join(f"{byte}," for byte in data[i:i + 24]) for i in range(0, len(data), 24)]
with open(sys.argv[2], "w") as file:
    file.write("/* made by io_xdp_embed.py */\n#include \"io/io_xdp.h\"\n"
               "const uint8_t io_xdp_object[] __attribute__((aligned(8))) = {\n" + "\n".join(lines) +
               "\n};\nconst size_t io_xdp_object_bytes = sizeof io_xdp_object;\n")
