/// Where libFuzzer enters: one input, over and over, into the target that is linked with this file.
@_cdecl("LLVMFuzzerTestOneInput")
func fuzzOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    fuzz([UInt8](UnsafeBufferPointer(start: start, count: count)))
    return 0
}
