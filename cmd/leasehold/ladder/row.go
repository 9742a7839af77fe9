package ladder

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
)

// Row is one figure of the ladder. Its JSON form is an element of bench/latest.json.
type Row struct {
	Name      string  `json:"name"`
	Value     float64 `json:"value"`
	Unit      string  `json:"unit"`
	Reference float64 `json:"reference"` // in the same unit; 0 when there is none
	Ratio     float64 `json:"ratio"`     // value to reference; 0 when there is none
	Note      string  `json:"note,omitempty"`
}

// row makes a Row and works out its ratio.
func row(name string, value float64, unit string, reference float64, note string) Row {
	r := Row{Name: name, Value: value, Unit: unit, Reference: reference, Note: note}
	if reference != 0 {
		r.Ratio = value / reference
	}
	return r
}

// Print writes the rows as a table.
func Print(w io.Writer, rows []Row) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "WHAT\tOURS\tUNIT\tREFERENCE\tRATIO\tREFERENCE IS")
	for _, r := range rows {
		reference, ratio := "-", "-"
		if r.Reference != 0 {
			reference, ratio = number(r.Reference), fmt.Sprintf("%.2f", r.Ratio)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", r.Name, number(r.Value), r.Unit, reference, ratio, r.Note)
	}
	return t.Flush()
}

// number writes a figure with a precision that suits its size.
func number(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.2fM", v/1e6)
	case v >= 1e4:
		return fmt.Sprintf("%.0fk", v/1e3)
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// Write writes the rows as JSON to a file, making its folder.
func Write(file string, rows []Row) error {
	b, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return fmt.Errorf("encode figures: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	if err := os.WriteFile(file, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	return nil
}
