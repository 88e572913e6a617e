"""What every other package stands on: settings, errors, clock, ids, logging, pagination. No web, no database."""
