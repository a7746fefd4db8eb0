/// The types of numbers that safetensors files hold, by their names there.
package enum ScalarType: String, Sendable, CaseIterable {
    case bool = "BOOL"
    case float4 = "F4"
    case float6E2M3 = "F6_E2M3"
    case float6E3M2 = "F6_E3M2"
    case uint8 = "U8"
    case int8 = "I8"
    case float8E5M2 = "F8_E5M2"
    case float8E4M3 = "F8_E4M3"
    case float8E8M0 = "F8_E8M0"
    case float8E4M3FNUZ = "F8_E4M3FNUZ"
    case float8E5M2FNUZ = "F8_E5M2FNUZ"
    case int16 = "I16"
    case uint16 = "U16"
    case float16 = "F16"
    case bfloat16 = "BF16"
    case int32 = "I32"
    case uint32 = "U32"
    case float32 = "F32"
    case complex64 = "C64"
    case float64 = "F64"
    case int64 = "I64"
    case uint64 = "U64"

    /// Bits of one number; numbers below a byte lie packed.
    package var bitCount: Int {
        switch self {
        case .float4: 4
        case .float6E2M3, .float6E3M2: 6
        case .bool, .uint8, .int8, .float8E5M2, .float8E4M3, .float8E8M0, .float8E4M3FNUZ,
            .float8E5M2FNUZ:
            8
        case .int16, .uint16, .float16, .bfloat16: 16
        case .int32, .uint32, .float32: 32
        case .complex64, .float64, .int64, .uint64: 64
        }
    }

    /// Bytes of one number that has whole bytes.
    package var byteCount: Int { bitCount / 8 }

    /// Whether it can be read as floats.
    package var isReadAsFloats: Bool {
        self == .float32 || self == .float16 || self == .bfloat16
    }
}

/// A Swift type whose memory is what safetensors files hold for one ``ScalarType``.
package protocol TensorElement: BitwiseCopyable, Sendable {
    static var scalarType: ScalarType { get }
}

extension Float: TensorElement { package static var scalarType: ScalarType { .float32 } }
extension Double: TensorElement { package static var scalarType: ScalarType { .float64 } }
extension Int64: TensorElement { package static var scalarType: ScalarType { .int64 } }
extension Int32: TensorElement { package static var scalarType: ScalarType { .int32 } }
extension UInt16: TensorElement { package static var scalarType: ScalarType { .uint16 } }
extension UInt8: TensorElement { package static var scalarType: ScalarType { .uint8 } }
