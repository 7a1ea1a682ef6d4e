package apierror

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// The codes, reasons and messages in the table equal those in testdata/contract.txt, because they
// are a contract with clients. If you add a row to the table, add it to that file by hand.
func TestTable_contract(t *testing.T) {
	text, err := os.ReadFile("testdata/contract.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(string(text)), "\n")
	var got []string
	for _, row := range table {
		key := string(row.Code)
		if row.Reason != "" {
			key += "/" + string(row.Reason)
		}
		got = append(got, key+" "+row.Message)
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("the table lacks %q", line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("testdata/contract.txt lacks %q", line)
		}
	}
}
