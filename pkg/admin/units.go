package admin

import "github.com/danielgtaylor/huma/v2"

// The catalog's units are texts of their own, which the description shows by a pattern,
// so that what is wrong with one is said at its place. They are described here, because
// pkg/catalog knows nothing of huma.
type (
	durationText struct{}
	sizeText     struct{}
	rateText     struct{}
)

// Schema describes a duration; the name is huma's.
func (durationText) Schema(huma.Registry) *huma.Schema {
	return pattern(`^-?(0|([0-9]{1,9}(\.[0-9]{1,9})?(ns|us|ms|s|m|h))+)$`, "a duration like 500ms, 15s, 5m or 2h")
}

// Schema describes a size; the name is huma's.
func (sizeText) Schema(huma.Registry) *huma.Schema {
	return pattern(`^[0-9]{1,15}( *(B|[kK]B|[MGT]B|[KMGT]iB))?$`, "a size like 64KiB, 1MiB or 1048576")
}

// Schema describes a rate; the name is huma's.
func (rateText) Schema(huma.Registry) *huma.Schema {
	return pattern(`^[0-9]{1,9}(\.[0-9]{1,20})?(e[+-]?[0-9]{1,2})?/[smh]$`, "a rate like 500/s or 30/m")
}

func pattern(text, description string) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Pattern: text, PatternDescription: description}
}
