"""Reads a topk payload as docs/wire.md says, and compares: topk_payload.py PAYLOAD VALUES

VALUES are fp32 numbers, what the payload should say. Slow and plain, with Python alone.
"""

import struct
import sys


class Bit:
    def __init__(self):
        self.zero, self.seen = 32768, 0

    def learn(self, bit):
        rate = self.seen + 2
        if bit:
            self.zero -= self.zero // rate
        else:
            self.zero += (65536 - self.zero) // rate
        self.zero = min(max(self.zero, 32), 65504)
        self.seen = min(self.seen + 1, 126)


class Number:
    """A segment's bytes as one number, from which bits are taken."""

    def __init__(self, data):
        self.data, self.position = data, 4
        self.offset, self.range = int.from_bytes(data[:4], "big"), 2**32 - 1

    def refill(self):
        while self.range < 1 << 24:
            self.offset = self.offset << 8 | self.data[self.position]
            self.range <<= 8
            self.position += 1

    def bit(self, model):
        bound = (self.range >> 12) * (model.zero >> 4)
        bit = int(self.offset >= bound)
        if bit:
            self.offset -= bound
            self.range -= bound
        else:
            self.range = bound
        model.learn(bit)
        self.refill()
        return bit

    def plain(self, count):
        self.range >>= count
        value = self.offset // self.range
        self.offset -= value * self.range
        self.refill()
        return value


class Integer:
    def __init__(self, contexts=1):
        self.widths = [[Bit() for _ in range(16)] for _ in range(contexts)]
        self.heads = [[Bit() for _ in range(8)] for _ in range(16)]

    def read(self, number, context=0):
        node = 1
        for _ in range(4):
            node = 2 * node + number.bit(self.widths[context][node])
        width = left = node - 16
        node = value = 1
        while left and node < 8:
            bit = number.bit(self.heads[width][node])
            node, value, left = 2 * node + bit, 2 * value + bit, left - 1
        while left:
            some = min(left, 8)
            value, left = value << some | number.plain(some), left - some
        return value - 1


def level(code):
    return struct.unpack("<f", struct.pack("<I", code << 19))[0]


def read_segment(data, count, kept):
    values = [0.0] * count
    number = Number(data)
    uppers, lowers, gaps = Integer(), Integer(), Integer(contexts=16)
    signs, choices = [Bit(), Bit()], [Bit(), Bit()]
    upper = width = sign = choice = 0
    for first in range(0, count, 4096):
        length = min(4096, count - first)
        step = uppers.read(number)
        upper += step // 2 if step % 2 == 0 else -(step + 1) // 2
        lower = upper - lowers.read(number)
        position = -1
        for _ in range(-(-kept * length // 4096) if upper else 0):
            gap = gaps.read(number, width)
            width = (gap + 1).bit_length() - 1
            position += gap + 1
            assert position < length
            sign = number.bit(signs[sign])
            choice = number.bit(choices[choice])
            magnitude = level(upper if choice else lower)
            values[first + position] += -magnitude if sign else magnitude
    assert number.position == len(data) and number.offset == 0, "bytes are left over"
    return values


def read_payload(data):
    version, codec, kept, count = struct.unpack("<BBHI", data[:8])
    assert (version, codec) == (1, 5)
    segments = -(-count // 2**20)
    lengths = struct.unpack(f"<{segments}I", data[8 : 8 + 4 * segments])
    start, values = 8 + 4 * segments, []
    for length in lengths:
        some = min(2**20, count - len(values))
        values += read_segment(data[start : start + length], some, kept)
        start += length
    assert start == len(data)
    return values


with open(sys.argv[1], "rb") as file:
    found = read_payload(file.read())
with open(sys.argv[2], "rb") as file:
    expected = file.read()
assert struct.pack(f"<{len(found)}f", *found) == expected, "the payload says other numbers"
