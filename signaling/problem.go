package signaling

import (
	"github.com/labstack/echo/v4"

	problems "watershed/signaling/problem"
)

// Problem is an error as clients see it.
type Problem = problems.Problem

func problem(status int, title, detail string) *Problem { return problems.New(status, title, detail) }

func handleError(err error, c echo.Context) { problems.Handle(err, c) }
