/// The middle of `values`, or the mean of the two in the middle; nothing if there are none.
///
/// What one worker says can't move it far, unlike a mean.
package func median(of values: [Double]) -> Double? {
    guard !values.isEmpty else { return nil }
    let sorted = values.sorted()
    let middle = sorted.count / 2
    if sorted.count % 2 == 1 { return sorted[middle] }
    // Halved before they are added, as the sum of two finite numbers may not be finite.
    return sorted[middle - 1] / 2 + sorted[middle] / 2
}
