package simulated

import "testing"

func TestNoFleetBreachesBudgetOrFloor(t *testing.T) {
	for seed := range uint64(600) {
		if err := Run(t.Context(), seed, 1+int(seed%50)+1); err != nil {
			t.Fatal(err)
		}
	}
	for seed := range uint64(4) {
		if err := Run(t.Context(), seed, 2000); err != nil {
			t.Fatal(err)
		}
	}
}
