package settings

//go:generate go test -run TestReference_files -update .
