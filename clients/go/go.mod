module warren.internal/warren

go 1.21
