import FoundationEssentials
import MoE
import Tensors

/// Any bytes are refused, or a configuration that survives being written and read again.
func fuzz(_ bytes: [UInt8]) {
    guard let configuration = try? ModelConfiguration(configurationJSON: Data(bytes)) else {
        return
    }
    let again = try? ModelConfiguration(configurationJSON: configuration.configurationJSON())
    precondition(again == configuration, "it is another configuration once it is written")
    // Larger models only take longer to lay out.
    guard configuration.layers * configuration.experts <= 1 << 12 else { return }
    precondition(configuration.layout.count > 0, "a model without parameters")
}
