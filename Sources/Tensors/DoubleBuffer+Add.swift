extension Buffer where Element == Double {
    /// `self += weight * values`, element by element.
    package func add(_ values: DoubleBuffer, weight: Double) {
        precondition(values.count == count)
        unsafe withUnsafePointer { sum in
            unsafe values.withUnsafePointer { x in
                for index in 0..<count { unsafe sum[index] += weight * x[index] }
            }
        }
    }
}
