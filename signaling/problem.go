package signaling

import problems "watershed/signaling/problem"

// Problem is an error as clients see it.
type Problem = problems.Problem

func problem(status int, title, detail string) *Problem { return problems.New(status, title, detail) }
