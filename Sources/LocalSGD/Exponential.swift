/// e to the power `x` for `x` <= 0, to a few units in the last place.
///
/// Only IEEE additions and multiplications, no library function, as in ``LearningRateSchedule``:
/// shard servers on different machines must weigh the same contributions with the same bits, and a
/// server that starts again elsewhere must repeat what it did.
package func exponential(_ x: Double) -> Double {
    precondition(x <= 0, "exponential(\(x)) is for negative numbers and 0")
    // Half the smallest positive number is at -745.13.
    guard x > -746 else { return 0 }
    // x = halvings ln 2 + rest, |rest| <= ln(2) / 2. The high part of ln 2 has so few bits that its
    // product is exact.
    let halvings = (x * 1.442_695_040_888_963_4).rounded()
    let high = 6.931_471_803_691_238_2e-1
    let low = 1.908_214_929_270_587_7e-10
    let rest = (x - halvings * high) - halvings * low
    // Horner's form of the Taylor series; its remainder is below 1e-18.
    var sum = 1.0
    for term in stride(from: 15.0, through: 1, by: -1) { sum = 1 + sum * rest / term }
    return Double(sign: .plus, exponent: Int(halvings), significand: sum)
}
