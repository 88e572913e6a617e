"""Service accounts: machines that get access tokens by the client credentials grant."""
