module warren.internal/actor

go 1.21

require warren.internal/warren v0.0.0

replace warren.internal/warren => ../../../../clients/go
