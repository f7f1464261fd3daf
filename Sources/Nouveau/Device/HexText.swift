/// A number as log lines show it.
func hex<T: BinaryInteger>(_ value: T) -> String { "0x" + String(value, radix: 16) }
